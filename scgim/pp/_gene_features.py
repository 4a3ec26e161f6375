"""Features of genetic perturbations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.decomposition import PCA

from scgim.data import split_combination
from scgim.data._screen_checks import check_perturbation_labels
from scgim.pp._checks import (
    check_column,
    check_control,
    check_control_cells,
    check_embedding,
    check_genes,
    check_layer,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def gene_features(
    adata: AnnData,
    perturbation_key: str,
    *,
    control: str,
    embedding: pd.DataFrame | None = None,
    genes: Sequence[str] = (),
    n_components: int = 32,
    layer: str | None = None,
    key_added: str = "perturbation_features",
) -> pd.DataFrame:
    """Describe perturbed genes by an embedding, or by how they vary in the control cells.

    Without an ``embedding``, the features of a gene are its loadings on the principal components of
    log1p(CP10k) in control cells, each times the standard deviation of its component; so genes that
    vary together in unperturbed cells have similar features.

    Updates the following field:

    - ``adata.uns[key_added]``: table of features, one row per gene, ready to be named as
      ``features_key`` in ``GIM.setup_anndata``.

    Parameters
    ----------
    adata
        Annotated data with counts.
    perturbation_key
        Column of ``adata.obs`` with the perturbed gene. Of a combination ``"A+B"``, A and B get a row
        each.
    control
        Label of the control, which gets no row.
    embedding
        Genes in the index, one number per column; columns are named ``embedding:`` and their own
        name. By default the loadings, with columns ``pca:0`` and so on.
    genes
        Further genes to give a row, for example to predict their perturbation.
    n_components
        Principal components; not used with an ``embedding``.
    layer
        Layer with the counts; ``adata.X`` by default.
    key_added
        Entry of ``adata.uns`` to write.

    Returns
    -------
    The table that was stored.

    See Also
    --------
    perturbation_features : Features of drugs.
    """
    check_column(perturbation_key, list(adata.obs), name="perturbation_key", place="adata.obs")
    check_perturbation_labels(adata.obs[perturbation_key], perturbation_key)
    column = adata.obs[perturbation_key].astype(str)
    labels = list(column.unique())
    check_control(control, labels, key=perturbation_key)
    if embedding is None:
        check_layer(layer, list(adata.layers))
        is_control = (column == control).to_numpy()
        check_control_cells(int(is_control.sum()), n_components, adata.n_vars)
        table, place = _loadings(adata[is_control], layer, n_components), "`adata.var_names`"
    else:
        table, place = _checked(embedding), "the index of `embedding`"
    parts = [part for label in labels for part in split_combination(label, table.index)]
    wanted = [part for part in dict.fromkeys([*parts, *map(str, genes)]) if part != control]
    check_genes([gene for gene in wanted if gene not in table.index], table.index, place=place)
    adata.uns[key_added] = table.loc[wanted].copy()
    return adata.uns[key_added].copy()


def _checked(embedding: pd.DataFrame) -> pd.DataFrame:
    """Return the embedding with text labels and named columns if it can serve as features."""
    table = embedding.set_axis(embedding.index.astype(str), axis=0)
    not_numbers = [str(name) for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    numbers = table.drop(columns=[name for name in table if str(name) in not_numbers])
    is_finite = np.isfinite(numbers.to_numpy(dtype=float)).all(axis=1)
    repeated = list(table.index[table.index.duplicated()].unique())
    check_embedding(len(table), repeated, not_numbers, list(table.index[~is_finite]))
    names = [name if ":" in name else f"embedding:{name}" for name in map(str, table.columns)]
    return table.set_axis(names, axis=1).astype(float)


def _loadings(control: AnnData, layer: str | None, n_components: int) -> pd.DataFrame:
    counts = sp.csr_matrix(control.X if layer is None else control.layers[layer], dtype=np.float64)
    library = np.asarray(counts.sum(axis=1)).ravel()
    scaled = sp.diags_array(1e4 / np.maximum(library, 1.0)) @ counts
    # A fixed start vector of the solver makes the loadings repeatable; scikit-learn fixes the signs.
    pca = PCA(n_components, svd_solver="arpack", random_state=0).fit(sp.csr_matrix(scaled).log1p())
    loadings = pca.components_.T * np.sqrt(pca.explained_variance_)
    columns = [f"pca:{component}" for component in range(n_components)]
    return pd.DataFrame(loadings, index=control.var_names.astype(str), columns=columns)
