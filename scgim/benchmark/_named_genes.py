"""Models of named genes as a user trains them, for the benchmarks, and their tables as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import scvi

from scgim.model import GIM

if TYPE_CHECKING:
    from collections.abc import Sequence

    import anndata as ad
    from numpy.typing import NDArray

    from scgim.model import GraphSearch


def train_named_genes(
    adata: ad.AnnData,
    setup: dict[str, Any],
    options: dict[str, Any],
    *,
    search: GraphSearch | None = None,
    seed: int = 0,
) -> GIM:
    """Set up a copy of a screen and train :class:`~scgim.model.GIM` on its genes.

    Parameters
    ----------
    adata
        Cells x genes.
    setup
        Arguments of :meth:`GIM.setup_anndata`.
    options
        Arguments of :class:`~scgim.model.GIM`, beside ``causal_space="genes"``.
    search
        How to search.
    seed
        Seed of the training.

    Returns
    -------
    The trained model.
    """
    adata = adata.copy()
    GIM.setup_anndata(adata, **setup)
    model = GIM(adata, causal_space="genes", **options)
    before = scvi.settings.seed
    scvi.settings.seed = seed
    try:
        model.train(search=search, enable_progress_bar=False)
    finally:
        scvi.settings.seed = before
    return model


def to_array(
    targets: pd.DataFrame, column: str, perturbations: Sequence[str], genes: Sequence[str]
) -> NDArray:
    """Read one column of :meth:`GIM.get_intervention_targets` as an array.

    Parameters
    ----------
    targets
        The table.
    column
        Name of the column.
    perturbations
        Perturbations in the order of the rows, repeated if need be.
    genes
        Genes in the order of the columns.

    Returns
    -------
    Values, shape ``(n_perturbations, n_genes)``.
    """
    pairs = pd.MultiIndex.from_product([perturbations, genes])
    by_pair = targets.set_index(["perturbation", "node"])[column]
    values: NDArray = by_pair.loc[pairs].to_numpy().reshape(len(perturbations), len(genes))
    return values
