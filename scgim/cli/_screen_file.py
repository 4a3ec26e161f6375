"""The file of a screen, and the words for what was run on it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

import anndata as ad

from scgim.cli._tables_from_files import place_features
from scgim.evaluation.report._report import describe_settings, describe_versions
from scgim.pp._checks import check_layer

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, ClassVar

# What h5py and anndata raise for a file that is none of theirs.
UNREADABLE = (AttributeError, KeyError, OSError, TypeError, UnicodeDecodeError)
PACKAGES = ("scgim", "scvi-tools", "torch", "scikit-learn", "anndata")


class ScreenSettings(Protocol):
    """What the settings of a command say about the file."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def features(self) -> str | None:
        """Entry of ``uns`` with the perturbation features, or a CSV file."""

    @property
    def layer(self) -> str | None:
        """Layer with the counts."""


def read_screen(file: Path, settings: ScreenSettings) -> tuple[ad.AnnData, str | None]:
    """Read a screen and the features of its perturbations.

    Parameters
    ----------
    file
        AnnData file.
    settings
        What the command was asked for.

    Returns
    -------
    The screen, and the entry of its ``uns`` with features, if any.

    Raises
    ------
    ValueError
        When the file is no AnnData file, or lacks the layer or the features.
    """
    try:
        adata = ad.read_h5ad(file)
    except UNREADABLE as error:
        msg = (
            f"{file} cannot be read as an AnnData file ({type(error).__name__}: {error}). Expected h5ad, "
            "cells x genes. Read the table with anndata and write it with `adata.write_h5ad`."
        )
        raise ValueError(msg) from error
    check_layer(settings.layer, list(adata.layers))
    return adata, place_features(adata, settings.features)


def describe_run(file: Path, settings: ScreenSettings) -> dict[str, str]:
    """Say which versions ran on which file with which settings.

    Parameters
    ----------
    file
        AnnData file.
    settings
        What the command was asked for.

    Returns
    -------
    Name to value, for the end of a report.
    """
    return describe_versions() | {"file": file.name} | describe_settings(asdict(settings))
