import logging

import matplotlib as mpl

from scgim.cli._quiet import quiet_packages


def test_packages_keep_their_warnings_only():
    quiet_packages()
    for name in ("scvi", "lightning.pytorch", "lightning.fabric"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)


def test_figures_need_no_display():
    quiet_packages()
    assert mpl.get_backend().lower() == "agg"
