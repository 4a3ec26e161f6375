from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import pytest
import scvi
import torch
from threadpoolctl import threadpool_limits

mpl.use("Agg")

pytest_plugins = ["fixtures.models", "fixtures.screens"]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed before fixtures are made: what briefly trained models can do is else a matter of chance."""
    scvi.settings.seed = 0


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Models of tests are small: several threads wait for each other, most of all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets, or a skip that says how to provide it."""
    folder = os.environ.get("SCGIM_DATA")
    if not folder:
        pytest.skip("set SCGIM_DATA to the folder of the real data sets to run this test")
    return Path(folder)
