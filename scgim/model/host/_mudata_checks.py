"""Checks on screens of several modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from mudata import MuData

from scgim._messages import closest, quote_some
from scgim.model._checks import check_genes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from anndata import AnnData

LAYER_ARGUMENTS = ("rna_layer", "protein_layer")


def check_mudata(mdata: object, modalities: Mapping[str, str]) -> None:
    """Raise unless all modalities that a model reads hold the same cells in the same order.

    Parameters
    ----------
    mdata
        What the user passed.
    modalities
        Modality of ``rna_layer`` and of ``protein_layer``.
    """
    if not isinstance(mdata, MuData):
        message = (
            f"`mdata` is a {type(mdata).__name__}, but the model was set up with RNA and protein "
            "as modalities of a `mudata.MuData`. Pass one, or use `GIM.setup_anndata` for RNA "
            "alone."
        )
        raise TypeError(message)
    unknown = [name for name in modalities if name not in LAYER_ARGUMENTS]
    if unknown or len(modalities) < len(LAYER_ARGUMENTS):
        message = (
            f"`modalities` has the keys {sorted(modalities)}, but `GIM.setup_mudata` reads "
            f"{list(LAYER_ARGUMENTS)}. Pass for example "
            "`modalities={'rna_layer': 'rna', 'protein_layer': 'protein'}`."
        )
        raise ValueError(message)
    for argument, name in modalities.items():
        if name not in mdata.mod:
            message = (
                f"`modalities[{argument!r}]={name!r}` is not a modality of `mdata`. The "
                f"modalities closest to it are {closest(name, mdata.mod)}. Pass one of them."
            )
            raise ValueError(message)
    for name, modality in mdata.mod.items():
        _check_aligned(mdata.obs_names, modality.obs_names, name)


def _check_aligned(cells: pd.Index, of_modality: pd.Index, name: str) -> None:
    missing = cells.difference(of_modality)
    if len(missing):
        message = (
            f"The modality {name!r} lacks {len(missing)} of {len(cells)} cells, for example "
            f"{quote_some(list(missing[:2]))}, but every cell needs every modality. Keep the cells "
            "that all modalities share (`mudata.MuData` of the subsetted modalities), or leave "
            "the modality out."
        )
        raise ValueError(message)
    if not cells.equals(of_modality):
        message = (
            f"The modality {name!r} has its cells in another order than `mdata.obs`, so its values "
            "would be read for other cells. Bring it in order: `modality[mdata.obs_names]`, then "
            "build the `mudata.MuData` again."
        )
        raise ValueError(message)


def check_variables(cells: AnnData | MuData, names: np.ndarray | Mapping[str, np.ndarray]) -> None:
    """Raise where cells do not have the genes, or the modalities, of training.

    Parameters
    ----------
    cells
        Cells for a trained model.
    names
        Variables of training; for several modalities, those of each.
    """
    if not hasattr(names, "items"):
        if isinstance(cells, MuData):
            message = (
                "The cells are a MuData, but the model was set up with an AnnData. Pass the "
                "modality with its genes."
            )
            raise TypeError(message)
        check_genes(cells.var_names, pd.Index(names))
        return
    if not isinstance(cells, MuData):
        message = (
            f"The cells are a {type(cells).__name__}, but the model was set up with a MuData of "
            f"{quote_some(list(names))}. Pass cells with these modalities."
        )
        raise TypeError(message)
    for name, variables in names.items():
        if name not in cells.mod:
            message = (
                f"The cells have no modality {name!r}, with which the model was set up. Add it "
                "under this name."
            )
            raise ValueError(message)
        check_genes(cells.mod[name].var_names, pd.Index(variables))


def features_of_modality(modality: AnnData, labels: pd.Series, name: str) -> pd.DataFrame:
    """Read perturbation features from a modality, and raise unless a perturbation has one row.

    Parameters
    ----------
    modality
        Cells x features, the same for all cells of a perturbation.
    labels
        Perturbation of each cell.
    name
        Name of the modality.

    Returns
    -------
    Perturbations x features.
    """
    cells = modality.to_df().set_axis(labels.astype(str).to_numpy())
    rows = cells.groupby(level=0).agg(["min", "max"])
    table = rows.xs("min", axis=1, level=1)
    varies = (table != rows.xs("max", axis=1, level=1)).any(axis=1)
    if varies.any():
        message = (
            f"Cells of {quote_some(list(table.index[varies]))} differ in their features in the "
            f"modality {name!r}, but all cells of a perturbation have the same features. Correct "
            "them, or pass a table with one row per perturbation in `mdata.uns`."
        )
        raise ValueError(message)
    return table


def check_can_minify(cells: AnnData | MuData | None, *, is_minified: bool) -> None:
    """Raise where the cells of a model cannot be replaced by their posterior.

    Parameters
    ----------
    cells
        Cells of the model, or ``None``.
    is_minified
        Whether they have been replaced already.
    """
    if cells is None:
        message = (
            "The model has no cells to minify: it was built from a registry, or loaded without "
            "cells. Load it with `adata=`, or save it as it is; predictions need no cells."
        )
        raise ValueError(message)
    is_multimodal = isinstance(cells, MuData)
    if is_multimodal:
        message = (
            "The cells of a model of RNA and protein cannot be minified: scvi-tools minifies one "
            "AnnData. Save the model without cells (`GIM.save`, the default), which is smaller "
            "still and enough for predictions, or set up the RNA alone with `GIM.setup_anndata`."
        )
        raise ValueError(message)
    if is_minified:
        message = (
            "The cells of the model are minified already. Go on with the model as it is, or load "
            "it with the original cells, `GIM.load(..., adata=)`."
        )
        raise ValueError(message)
