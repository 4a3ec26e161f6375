import logging

import matplotlib as mpl
import pytest
import scvi

from scgim.cli._quiet import quiet_packages


@pytest.fixture(autouse=True)
def restore():
    verbosity, backend = scvi.settings.verbosity, mpl.get_backend()
    names = ("lightning", "lightning.pytorch", "lightning.fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    scvi.settings.verbosity = verbosity
    mpl.use(backend)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_packages_keep_their_warnings_only():
    quiet_packages()
    for name in ("scvi", "lightning.pytorch", "lightning.fabric"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)


def test_figures_need_no_display():
    quiet_packages()
    assert mpl.get_backend().lower() == "agg"
