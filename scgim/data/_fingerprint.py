"""Fingerprint of the cells of a screen, by which changes after set-up are noticed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scvi import REGISTRY_KEYS as SCVI_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scvi.data import AnnDataManager

# Values of which every bit counts; of the others the sum. Enough to catch any transformation, and few
# enough that the fingerprint costs less than the sums over genes that set-up computes anyway.
MAX_HASHED = 200_000
COLUMN_ARGUMENTS = (
    "perturbation_key",
    "dose_key",
    "batch_key",
    "size_factor_key",
    "categorical_covariate_keys",
    "continuous_covariate_keys",
)


def take_fingerprint(manager: AnnDataManager) -> dict[str, str]:
    """Summarise what a model reads of its cells.

    Parameters
    ----------
    manager
        Manager of registered cells.

    Returns
    -------
    What is summarised, as the user would write it, to its digest.
    """
    arguments = manager.registry["setup_args"]
    expression = manager.get_from_registry(SCVI_KEYS.X_KEY)
    fingerprint = {place_of_expression(arguments): _digest_matrix(expression)}
    for argument in COLUMN_ARGUMENTS:
        keys = arguments.get(argument) or []
        for key in [keys] if isinstance(keys, str) else keys:
            column = manager.adata.obs.get(key)
            digest = "missing" if column is None else _digest_column(column)
            fingerprint[f"`adata.obs[{key!r}]`"] = digest
    return fingerprint


def check_unchanged(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Raise where cells are not those that were set up.

    Parameters
    ----------
    before
        Fingerprint at set-up.
    after
        Fingerprint now.

    Raises
    ------
    ValueError
        Naming what has changed.
    """
    changed = [name for name, digest in before.items() if after.get(name) != digest]
    if changed:
        message = (
            f"{', '.join(changed)} changed after `GIM.setup_anndata`, so the model would read other "
            "values than those that were checked. Change the cells first, then call "
            "`GIM.setup_anndata` and make the model anew; or change a copy, `adata.copy()`."
        )
        raise ValueError(message)


def place_of_expression(arguments: Mapping[str, Any]) -> str:
    """Say where the expression of a model is, as the user would write it.

    Parameters
    ----------
    arguments
        Arguments of the set-up.

    Returns
    -------
    Text such as "`adata.layers['counts']`".
    """
    layer = arguments.get("layer", arguments.get("rna_layer"))
    return "`adata.X`" if layer is None else f"`adata.layers[{layer!r}]`"


def _digest_matrix(matrix: np.ndarray | sp.spmatrix) -> str:
    if not (sp.issparse(matrix) or isinstance(matrix, np.ndarray)):
        return f"{matrix.shape}"  # on disk, where reading it would cost more than it tells
    values = np.asarray(matrix.data if sp.issparse(matrix) else matrix).reshape(-1)
    step = max(1, len(values) // MAX_HASHED)
    sample = np.ascontiguousarray(values[::step], dtype=np.float64)
    total = float(values.sum(dtype=np.float64))
    return hashlib.sha256(f"{matrix.shape} {total!r}".encode() + sample.tobytes()).hexdigest()


def _digest_column(column: pd.Series) -> str:
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = column.cat.categories.astype(str).to_numpy(object)
        codes = column.cat.codes.to_numpy()
        hashes = pd.util.hash_array(np.append(texts, "nan"))[codes]
    elif pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        hashes = column.to_numpy(np.float64, na_value=np.nan)
    else:
        hashes = pd.util.hash_array(column.astype(str).to_numpy(object))
    return hashlib.sha256(np.ascontiguousarray(hashes).tobytes()).hexdigest()
