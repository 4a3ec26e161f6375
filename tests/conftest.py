from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets, or a skip that says how to provide it."""
    folder = os.environ.get("SCGIM_DATA")
    if not folder:
        pytest.skip("set SCGIM_DATA to the folder of the real data sets to run this test")
    return Path(folder)
