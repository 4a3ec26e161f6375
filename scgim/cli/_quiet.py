"""Keep what other packages say about themselves out of the shell."""

from __future__ import annotations

import logging

import matplotlib as mpl
import scvi


def quiet_packages() -> None:
    """Set up this process: figures go to files, and only warnings of other packages are printed."""
    mpl.use("Agg")
    scvi.settings.verbosity = logging.WARNING
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
