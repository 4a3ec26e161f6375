"""Checks of batches, covariates and size factors of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim._messages import quote_some

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def check_covariates(obs: pd.DataFrame, keys_of: Mapping[str, Sequence[str]]) -> None:
    """Raise where a batch, covariate or size factor of a cell cannot be used.

    Parameters
    ----------
    obs
        Columns of the cells.
    keys_of
        Columns by the argument of ``setup_anndata`` that names them.

    Raises
    ------
    ValueError
        For missing values, text in place of numbers, numbers mixed with text, infinite numbers,
        and size factors that are not positive.
    """
    for key in (*keys_of.get("batch_key", ()), *keys_of.get("categorical_covariate_keys", ())):
        _check_categories(obs[key], f"`adata.obs[{key!r}]`")
    for key in keys_of.get("continuous_covariate_keys", ()):
        _check_numbers(obs[key], f"`adata.obs[{key!r}]`", "a continuous covariate")
    for key in keys_of.get("size_factor_key", ()):
        _check_numbers(obs[key], f"`adata.obs[{key!r}]`", "a size factor")
        _check_positive(obs[key], f"`adata.obs[{key!r}]`")


def _check_categories(column: pd.Series, place: str) -> None:
    n_missing = int(column.isna().sum())
    if n_missing:
        message = (
            f"{place} is missing for {n_missing} of {len(column)} cells, but every cell has a batch and "
            "covariates. Fill them in, for example with a category 'unknown', or drop these cells."
        )
        raise ValueError(message)
    kinds = sorted({type(value).__name__ for value in column.unique()})
    if len(kinds) > 1:
        message = (
            f"{place} mixes {' and '.join(kinds)}, which cannot be told apart from one category written "
            f"in two ways. Make them text: `{place.strip('`')}.astype(str)`."
        )
        raise ValueError(message)


def _check_numbers(column: pd.Series, place: str, what: str) -> None:
    is_real = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column)
    if not is_real:
        message = (
            f"{place} holds {column.dtype} values such as {str(column.iloc[0])!r}, but {what} is a real "
            "number. Convert it with `pandas.to_numeric`, or pass it as `categorical_covariate_keys`."
        )
        raise ValueError(message)
    values = column.to_numpy(np.float64, na_value=np.nan)
    is_bad = ~np.isfinite(values)
    if is_bad.any():
        first = quote_some(list(column.index[is_bad]), 3)
        message = (
            f"{place} is missing (NaN) or infinite for {int(is_bad.sum())} of {len(column)} cells, for "
            f"example {first}, but {what} must be finite. Fill in these values, or drop the cells."
        )
        raise ValueError(message)


def _check_positive(column: pd.Series, place: str) -> None:
    is_bad = column.to_numpy(np.float64) <= 0
    if is_bad.any():
        first = quote_some(list(column.index[is_bad]), 3)
        message = (
            f"{place} is zero or negative for {int(is_bad.sum())} of {len(column)} cells, for example "
            f"{first}, as if it were missing, but size factors are positive: they divide counts. Compute "
            "them again, or drop these cells."
        )
        raise ValueError(message)
