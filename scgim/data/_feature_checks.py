"""Checks of the features of perturbations, and warnings where they say too little."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim._messages import closest, quote_some, warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

logger = logging.getLogger(__name__)
# Beyond, squares of features are no numbers any more, and no descriptor is that large.
MAX_FEATURE = 1e15


def read_features(uns: Mapping[str, object], features_key: str) -> pd.DataFrame:
    """Raise unless the features of perturbations are a table where the user says that they are.

    Parameters
    ----------
    uns
        Entries of the screen.
    features_key
        What the user passed.

    Returns
    -------
    The table, indexed by text.
    """
    if features_key not in uns:
        message = (
            f"`features_key={features_key!r}` is not an entry of `adata.uns`. The entries closest "
            f"to it are {closest(features_key, [key for key in uns if key[0] != '_'])}. Pass one "
            "of them, or write the features with `scgim.pp.perturbation_features`."
        )
        raise ValueError(message)
    features = uns[features_key]
    if not isinstance(features, pd.DataFrame):
        message = (
            f"`adata.uns[{features_key!r}]` is a {type(features).__name__}, but perturbation "
            "features are a pandas DataFrame with one row per perturbation and one column per "
            "feature."
        )
        raise TypeError(message)
    return features.set_axis(features.index.map(str))


def check_features(
    features: pd.DataFrame, perturbations: dict[str, int], *, place: str, control: str
) -> pd.DataFrame:
    """Raise unless every perturbation has one row of finite numeric features.

    Parameters
    ----------
    features
        What the user passed.
    perturbations
        Number of cells of each perturbation that needs features.
    place
        Where the features are, as the user typed it.
    control
        Label of the control, which needs no row.

    Returns
    -------
    The features as float64, indexed by text, constant columns left out with a warning, unless they are
    bits: a bit that no perturbation of the screen has tells how new a new one is.
    """
    table = features.set_axis(features.index.map(str)).set_axis(
        [str(column) for column in features.columns], axis=1
    )
    table = table.loc[table.index != control]
    _check_feature_rows(table, perturbations, place)
    check_feature_table(table, place)
    table = table.astype(np.float64)
    _warn_twins(table.loc[list(perturbations)], place)
    return _without_constants(table, list(perturbations), place)


def _check_feature_rows(table: pd.DataFrame, perturbations: dict[str, int], place: str) -> None:
    missing = [name for name in perturbations if name not in table.index]
    if missing and all(name in table.columns for name in perturbations):
        message = (
            f"{place} has the perturbations in its columns and {quote_some(table.index)} in its "
            f"index, but rows must be perturbations. Pass its transpose, "
            f"`features.T` of shape {table.T.shape}."
        )
        raise ValueError(message)
    if missing:
        name = missing[0]
        longer = [other for other in table.index if other.startswith(name)]
        hint = (
            f"{longer[0]!r} has one: the label may have been truncated"
            if longer
            else f"The rows closest to it are {closest(name, table.index)}"
        )
        more = f" ({len(missing)} perturbations have none)" if len(missing) > 1 else ""
        message = (
            f"Perturbation {name!r} has no row in {place}{more}. {hint}. Add its features, or "
            f"drop its {perturbations[name]} cells before `GIM.setup_anndata`."
        )
        raise ValueError(message)


def warn_pairs(pairs: list[str], place: str) -> None:
    """Warn of rows of features that belong to combinations, which are predicted from their parts.

    Parameters
    ----------
    pairs
        Names of combinations with a row of their own.
    place
        Where the features are, as the user typed it.
    """
    if pairs:
        warn(
            f"{place} has rows for the combinations {quote_some(pairs)}. A combination is predicted from "
            "its parts, in any order, so these rows are left out. To model one as a perturbation of its "
            "own, give it a name without '+'."
        )


def check_feature_table(table: pd.DataFrame, place: str) -> None:
    """Raise unless a feature table has one row per perturbation and finite numbers."""
    repeated = table.index[table.index.duplicated()].unique()
    if len(repeated):
        message = (
            f"{place} has several rows for {quote_some(repeated)}, but each perturbation has one. "
            "Keep one row of each, for example `features[~features.index.duplicated()]`."
        )
        raise ValueError(message)
    text = [column for column in table if not pd.api.types.is_numeric_dtype(table[column])]
    if text:
        message = (
            f"{place} has columns that are not numbers: {quote_some(text)}. Encode them, for "
            "example with `pandas.get_dummies`, or drop them."
        )
        raise ValueError(message)
    if table.shape[1] == 0 or table.shape[0] == 0:
        message = (
            f"{place} has {table.shape[0]} rows and {table.shape[1]} columns, so it says nothing about "
            "any perturbation. Pass features, or leave them out."
        )
        raise ValueError(message)
    is_complex = [column for column in table if pd.api.types.is_complex_dtype(table[column])]
    if is_complex:
        message = f"{place} has complex numbers in {quote_some(is_complex)}. Pass real ones."
        raise ValueError(message)
    _check_finite(table, place)


def _check_finite(table: pd.DataFrame, place: str) -> None:
    values = table.to_numpy(np.float64, na_value=np.nan)
    is_bad = ~np.isfinite(values)
    if is_bad.any():
        columns, rows = table.columns[is_bad.any(0)], table.index[is_bad.any(1)]
        message = (
            f"{place} has {int(is_bad.sum())} missing or infinite values, in the columns "
            f"{quote_some(columns)} of {quote_some(rows)}. Fill them in, or drop these columns or "
            "perturbations."
        )
        raise ValueError(message)
    is_huge = np.abs(values) > MAX_FEATURE
    if is_huge.any():
        message = (
            f"{place} has values up to {np.abs(values).max():.3g}, in the columns "
            f"{quote_some(table.columns[is_huge.any(0)])}, but features are below {MAX_FEATURE:g}. Scale "
            "these columns, or look for a damaged file."
        )
        raise ValueError(message)


def _warn_twins(table: pd.DataFrame, place: str) -> None:
    twins = table[table.duplicated(keep=False)]
    if len(twins):
        warn(
            f"{len(twins)} perturbations share all features with another in {place}: "
            f"{quote_some(list(twins.index))}. No model can tell them apart when they are unseen. "
            "Add features that do, or merge them."
        )


def _without_constants(table: pd.DataFrame, seen: list[str], place: str) -> pd.DataFrame:
    is_constant = (table.loc[seen].std(ddof=0) == 0).to_numpy()
    if is_constant.all() and len(seen) > 1:
        message = (
            f"All {table.shape[1]} columns of {place} are constant over the perturbations of the "
            "screen, so they cannot tell them apart. Pass features that differ, or leave out "
            "`features_key`."
        )
        raise ValueError(message)
    if is_constant.any() and len(seen) > 1:
        constant = table.loc[:, is_constant]
        _tell_constants(constant, table.shape[1], place)
        return table.drop(columns=constant.columns[~is_bit(constant)])
    return table


def is_bit(table: pd.DataFrame) -> np.ndarray:
    """Tell which columns have no other value than 0 and 1.

    Parameters
    ----------
    table
        Features.

    Returns
    -------
    Shape ``(n_columns,)``.
    """
    bits: np.ndarray = table.isin((0.0, 1.0)).all().to_numpy()
    return bits


def split_constants(
    features: pd.DataFrame | None, seen: Sequence[str]
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Part features in those that tell seen perturbations apart, and bits that are the same in all.

    Parameters
    ----------
    features
        Checked features, or ``None``.
    seen
        Perturbations of the screen.

    Returns
    -------
    Both tables; the second is ``None`` without such bits.
    """
    if features is None or len(seen) < 2:
        return features, None
    is_constant = (features.loc[list(seen)].std(ddof=0) == 0).to_numpy() & is_bit(features)
    if not is_constant.any() or is_constant.all():
        return features, None
    return features.loc[:, ~is_constant], features.loc[:, is_constant]


def _tell_constants(constant: pd.DataFrame, n_columns: int, place: str) -> None:
    """Warn of measured columns that do not vary; a bit of a fingerprint that no drug has is usual."""
    message = (
        f"{constant.shape[1]} of {n_columns} columns of {place} are constant over the perturbations "
        f"of the screen and will be ignored: {quote_some(list(constant.columns))}."
    )
    if is_bit(constant).all():
        logger.info(message)
    else:
        warn(message)


def check_new_features(
    features: pd.DataFrame | None, registered: pd.DataFrame | None, names: list[str]
) -> np.ndarray:
    """Collect the features of unseen perturbations, in the columns of training.

    Parameters
    ----------
    features
        Features that the user passed, or ``None``.
    registered
        Features of the registry, or ``None``.
    names
        Unseen perturbations.

    Returns
    -------
    Shape ``(len(names), n_features)``.
    """
    if registered is None:
        registered = pd.DataFrame(index=[])
    table = registered
    if features is not None:
        new = features.set_axis(features.index.map(str)).set_axis(
            [str(column) for column in features.columns], axis=1
        )
        missing = [column for column in registered.columns if column not in new]
        if missing:
            message = (
                f"`features` lacks {len(missing)} of the {registered.shape[1]} columns of "
                f"training: {quote_some(missing)}. Compute them in the same way as for training."
            )
            raise ValueError(message)
        new = new[list(registered.columns)]
        check_feature_table(new, "`features`")
        table = pd.concat([registered.loc[~registered.index.isin(new.index)], new])
    rows: np.ndarray = table.loc[names].to_numpy(np.float64)
    return rows
