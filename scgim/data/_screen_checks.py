"""Checks of a user's screen before it is registered: labels, doses and counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scgim._messages import closest, quote_some, warn
from scgim.data._combinations import (
    find_pairs,
    find_vocabulary,
    split_combination,
    warn_read_labels,
)
from scgim.data._covariate_checks import check_covariates
from scgim.data._dose_warnings import warn_log_doses, warn_units
from scgim.data._doses import read_doses
from scgim.data._expression_blocks import row_blocks, sum_expression
from scgim.data._feature_checks import check_features, read_features, warn_pairs
from scgim.data._perturbation_direction import check_directions
from scgim.data._perturbation_table import PerturbationTable
from scgim.data._spelling import check_spelling
from scgim.module import get_likelihood

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_CELLS_CHECKED = 20_000
# 1 molar is 1e9 nM; 1e-30 is far below one molecule in a litre.
MAX_DOSE, MIN_DOSE = 1e9, 1e-30
# A cell has some hundred thousand molecules of RNA; reads of a bulk library stay below this too.
MAX_EXPRESSION = 1e9


def check_column(obs: pd.DataFrame, argument: str, key: str) -> None:
    """Raise unless ``key`` is a column of ``obs``."""
    if key not in obs:
        message = (
            f"`{argument}={key!r}` is not a column of `adata.obs`. The columns closest to it are "
            f"{closest(key, obs.columns)}. Pass one of them to `GIM.setup_anndata`."
        )
        raise ValueError(message)


def check_perturbation_labels(labels: pd.Series, perturbation_key: str) -> None:
    """Raise where a cell has no perturbation label."""
    n_missing = int(labels.isna().sum())
    if n_missing:
        message = (
            f"`adata.obs[{perturbation_key!r}]` is missing for {n_missing} of {len(labels)} cells. "
            "Every cell needs the label of its perturbation or of the control. Fill them in, or "
            "drop these cells before `GIM.setup_anndata`."
        )
        raise ValueError(message)


def check_control(labels: pd.Series, perturbation_key: str, control: str) -> None:
    """Raise unless there are control cells and perturbed cells."""
    present = labels.astype(str).unique()
    place = f"`adata.obs[{perturbation_key!r}]`"
    truncated = [label for label in present if label and str(control).startswith(label)]
    if control not in present and truncated:
        message = (
            f"`control={control!r}` is not a value of {place}, but {truncated[0]!r} is: the labels "
            f"look truncated to {len(truncated[0])} characters, as numpy does when a longer string "
            "is written into a fixed-width array. Rebuild the column from untruncated labels "
            "(dtype=object), then call `GIM.setup_anndata` again."
        )
        raise ValueError(message)
    if control not in present:
        message = (
            f"`control={control!r}` is not a value of {place}, so there are no control cells. "
            f"The values closest to it are {closest(control, present)}. Pass the label of the "
            "control cells as `control`."
        )
        raise ValueError(message)
    if len(present) == 1:
        message = (
            f"All {len(labels)} cells are control cells (`control={control!r}`), but a screen "
            f"needs at least one perturbation in {place}. Add perturbed cells, or correct "
            "`control`."
        )
        raise ValueError(message)


def warn_few_cells(labels: pd.Series, doses: pd.Series | None) -> None:
    """Warn where a condition has a single cell."""
    keys = [labels.astype(str)] if doses is None else [labels.astype(str), doses]
    sizes = labels.groupby(keys, observed=True).size()
    single = sizes.index[sizes == 1]
    if len(single):
        names = [name if doses is None else f"{name[0]} at dose {name[1]:g}" for name in single]
        warn(
            f"{len(single)} of {len(sizes)} conditions have a single cell: {quote_some(names)}. "
            "Their shifts will be almost unknown. Drop them, or read their intervals."
        )


def warn_single_perturbation(perturbations: tuple[str, ...]) -> None:
    """Warn where there is only one perturbation, so nothing can be learned across them."""
    if len(perturbations) == 1:
        warn(
            f"The screen has one perturbation, {perturbations[0]!r}. Its doses can be predicted, "
            "unseen perturbations cannot, and its targets rest on gene programs alone. Add "
            "perturbations to learn from their features."
        )


def check_doses(doses: pd.Series, is_control: np.ndarray, dose_key: str, labels: pd.Series) -> None:
    """Raise unless doses are numbers: positive for perturbed cells, zero for control cells."""
    place = f"`adata.obs[{dose_key!r}]`"
    if pd.api.types.is_complex_dtype(doses):
        message = (
            f"{place} holds complex numbers such as {doses.iloc[0]!r}, but a dose is a real number. Take "
            f"their real part, `{place.strip('`')}.to_numpy().real`."
        )
        raise ValueError(message)
    if not pd.api.types.is_numeric_dtype(doses) or pd.api.types.is_bool_dtype(doses):
        example = next((str(v) for v in doses.unique() if not _is_number(v)), str(doses.iloc[0]))
        message = (
            f"{place} holds text such as {example!r}, but doses are numbers in one unit. Convert "
            "them (`scgim.pp.normalize_dose` reads units), with 0 for control cells."
        )
        raise ValueError(message)
    values = doses.to_numpy(np.float64, na_value=np.nan)
    _raise_doses(~np.isfinite(values), labels, place, "missing or infinite", "a finite number")
    _raise_doses(values < 0, labels, place, "negative", "zero or positive, not a logarithm")
    is_absurd = (values > MAX_DOSE) | ((values > 0) & (values < MIN_DOSE))
    _raise_doses(
        is_absurd,
        labels,
        place,
        f"beyond {MIN_DOSE:g} to {MAX_DOSE:g}",
        "in a unit in which it can be pipetted, such as nM",
    )
    n_dosed_controls = int(((values != 0) & is_control).sum())
    if n_dosed_controls:
        message = (
            f"{n_dosed_controls} control cells have a non-zero dose in {place}, for example "
            f"{values[(values != 0) & is_control][0]:g}, but the control is dose 0. Set the dose "
            "of control cells to 0, or correct `control`."
        )
        raise ValueError(message)
    n_undosed = int(((values == 0) & ~is_control).sum())
    if n_undosed:
        names = labels[(values == 0) & ~is_control].astype(str).unique()
        message = (
            f"{place} must be positive for perturbed cells, but {n_undosed} cells of "
            f"{quote_some(names)} have dose 0. Mark them as control or remove them."
        )
        raise ValueError(message)


def _raise_doses(
    is_bad: np.ndarray, labels: pd.Series, place: str, found: str, expected: str
) -> None:
    if is_bad.any():
        names = labels[is_bad].astype(str).unique()
        message = (
            f"{place} is {found} for {int(is_bad.sum())} cells of {quote_some(names)}, but a dose "
            f"must be {expected}. Correct or drop these cells before `GIM.setup_anndata`."
        )
        raise ValueError(message)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def check_expression(
    expression: np.ndarray | sp.spmatrix,
    *,
    likelihood: str,
    place: str,
    var_names: pd.Index | None = None,
) -> None:
    """Raise where expression does not fit the likelihood; warn of genes without counts.

    Parameters
    ----------
    expression
        Cells x genes. Whether its values are whole numbers is seen on 20,000 cells at most.
    likelihood
        Name of the likelihood.
    place
        Where the expression is, as the user typed it.
    var_names
        Names of the genes; ``None`` for new cells, which need not have counts of all of them.

    Raises
    ------
    ValueError
        When values are missing, infinite or beyond what can be measured; for a likelihood of
        counts also when they are negative or no whole numbers, or when a cell has none.
    """
    totals, gene_totals = sum_expression(expression)
    if not np.isfinite(totals).all():
        message = (
            f"{place} has missing or infinite values. Expression must be finite. Correct or drop "
            "these cells or genes."
        )
        raise ValueError(message)
    _check_magnitude(expression, place)
    if not get_likelihood(likelihood).is_count:
        return
    step = max(1, expression.shape[0] // MAX_CELLS_CHECKED)
    sample = expression[::step]
    values: np.ndarray = np.asarray(sample.data if sp.issparse(sample) else sample)
    if (values < 0).any() or (values != np.round(values)).any():
        found = "negative values" if (values < 0).any() else "values that are not whole numbers"
        message = (
            f"{place} has {found}, but `gene_likelihood={likelihood!r}` is for raw counts. Pass "
            "`layer=` with the counts to `GIM.setup_anndata`, or use "
            "`gene_likelihood='normal'` for transformed expression."
        )
        raise ValueError(message)
    if (totals == 0).any():
        message = (
            f"{int((totals == 0).sum())} cells have no counts in {place}, the first of them in row "
            f"{int(np.flatnonzero(totals == 0)[0])}. Remove them, for example with "
            "`sc.pp.filter_cells(adata, min_counts=1)`."
        )
        raise ValueError(message)
    if var_names is not None:
        _warn_empty_genes(gene_totals, place, var_names)


def _check_magnitude(expression: np.ndarray | sp.spmatrix, place: str) -> None:
    largest = max(
        max(abs(float(block.max())), abs(float(block.min()))) for block in row_blocks(expression)
    )
    if largest >= MAX_EXPRESSION:
        message = (
            f"{place} has values up to {largest:.3g}, which no measurement of a cell gives; expected "
            f"less than {MAX_EXPRESSION:g}. Look for a wrong unit or a damaged file."
        )
        raise ValueError(message)


def _warn_empty_genes(gene_totals: np.ndarray, place: str, var_names: pd.Index) -> None:
    empty = np.flatnonzero(gene_totals == 0)
    if len(empty):
        warn(
            f"{len(empty)} genes have no counts in {place}: "
            f"{quote_some(list(var_names[empty]))}. Nothing can be learned about them. Remove "
            "them, for example with `sc.pp.filter_genes(adata, min_counts=1)`."
        )


def check_layer(layers: Iterable[str], layer: str | None) -> None:
    """Raise unless ``layer`` is one of the layers, or ``None`` for ``X``."""
    names = list(layers)
    if layer is not None and layer not in names:
        message = (
            f"`layer={layer!r}` is not a layer of `adata`. The layers closest to it are "
            f"{closest(layer, names)}. Pass one of them, or leave it out to use `adata.X`."
        )
        raise ValueError(message)


def check_program_mask(varm: object, key: str) -> None:
    """Raise unless ``varm[key]`` is a DataFrame genes x programs of 0 and 1."""
    names = list(varm.keys())  # type: ignore[attr-defined]
    if key not in names:
        message = (
            f"`program_mask_key={key!r}` is not an entry of `adata.varm`. The entries closest to "
            f"it are {closest(key, names)}. Pass one of them, or leave it out."
        )
        raise ValueError(message)
    mask = varm[key]  # type: ignore[index]
    if not isinstance(mask, pd.DataFrame):
        message = (
            f"`adata.varm[{key!r}]` is a {type(mask).__name__}, but a program mask is a DataFrame "
            "whose columns name the programs. Wrap it: `pd.DataFrame(mask, "
            "index=adata.var_names, columns=names)`."
        )
        raise TypeError(message)
    values = mask.to_numpy(np.float64)
    if not np.isin(values, (0.0, 1.0)).all():
        message = (
            f"`adata.varm[{key!r}]` has values other than 0 and 1, for example "
            f"{values[~np.isin(values, (0.0, 1.0))][0]:g}, but a program mask says which gene may "
            "belong to which program. Pass `mask != 0`."
        )
        raise ValueError(message)
    empty = mask.columns[(values == 0).all(0)]
    if len(empty):
        message = (
            f"`adata.varm[{key!r}]` has programs without genes: {quote_some(list(empty))}. Drop "
            "these columns."
        )
        raise ValueError(message)


def check_screen(
    adata: object,
    *,
    perturbation_key: str,
    control: str,
    dose_key: str | None,
    features_key: str | None,
    other_keys: dict[str, list[str]],
    program_mask_key: str | None,
    perturbation_direction: object,
) -> pd.DataFrame | None:
    """Check a screen before it is registered.

    Parameters
    ----------
    adata
        The screen.
    perturbation_key
        Column of ``obs`` with perturbations.
    control
        Label of the control.
    dose_key
        Column of ``obs`` with doses, or ``None``.
    features_key
        Entry of ``uns`` with features, or ``None``.
    other_keys
        Further columns of ``obs``, by the argument that names them.
    program_mask_key
        Entry of ``varm`` with a program mask, or ``None``.
    perturbation_direction
        What perturbations can do to their targets, for all or by perturbation.

    Returns
    -------
    Checked features of all perturbations, or ``None``.
    """
    if not isinstance(adata, AnnData):
        message = (
            f"`adata` is a {type(adata).__name__}, but `GIM.setup_anndata` takes an "
            "`anndata.AnnData` of cells x genes."
        )
        raise TypeError(message)
    _check_columns(adata.obs, {"perturbation_key": [perturbation_key], **other_keys})
    check_covariates(adata.obs, other_keys)
    control = str(control)
    labels = adata.obs[perturbation_key]
    check_perturbation_labels(labels, perturbation_key)
    check_control(labels, perturbation_key, control)
    doses = None
    if dose_key is not None:
        _check_columns(adata.obs, {"dose_key": [dose_key]})
        doses = adata.obs[dose_key]
        check_doses(doses, (labels.astype(str) == control).to_numpy(), dose_key, labels)
        _warn_doses(adata.obs, doses, dose_key, [*_groups(other_keys), perturbation_key])
    if program_mask_key is not None:
        check_program_mask(adata.varm, program_mask_key)
    features = None
    if features_key is not None:
        features = read_features(adata.uns, features_key)
    present = sorted(labels.astype(str).unique())
    table = PerturbationTable.from_labels(present, control, features)
    check_spelling([control, *table.perturbations], f"`adata.obs[{perturbation_key!r}]`")
    with_features = [] if features is None else map(str, features.index)
    check_directions(perturbation_direction, [*table.perturbations, *with_features])
    features = _check_labels(present, control, features, features_key)
    warn_single_perturbation(table.perturbations)
    warn_few_cells(labels, doses)
    if features is None:
        return None
    counts = _count_cells(table, labels)
    return check_features(features, counts, place=f"`adata.uns[{features_key!r}]`", control=control)


def _check_labels(
    present: list[str], control: str, features: pd.DataFrame | None, features_key: str | None
) -> pd.DataFrame | None:
    """Warn of labels that could be read in two ways; leave out features of combinations."""
    names = [] if features is None else list(features.index)
    vocabulary = find_vocabulary(present, control, names)
    warn_read_labels(present, control, vocabulary)
    pairs = find_pairs(names, vocabulary)
    if features is not None:
        # What `scgim.pp.perturbation_features` writes for a pair says nothing that its parts do not.
        own = [pair for pair in pairs if not _is_larger_of_parts(features, pair, vocabulary)]
        warn_pairs(own, f"`adata.uns[{features_key!r}]`")
    return features if features is None else features.loc[~features.index.isin(pairs)]


def _is_larger_of_parts(features: pd.DataFrame, pair: str, vocabulary: set[str]) -> bool:
    parts = [
        name for name in split_combination(pair, vocabulary=vocabulary) if name in features.index
    ]
    if not parts or not features.index.is_unique:
        return False
    return bool((features.loc[parts].max() == features.loc[pair]).all())


def _groups(keys_of: dict[str, list[str]]) -> list[str]:
    """Columns that tell groups of cells apart: batch and categorical covariates."""
    return [*keys_of.get("batch_key", []), *keys_of.get("categorical_covariate_keys", [])]


def _warn_doses(obs: pd.DataFrame, doses: pd.Series, dose_key: str, groups: list[str]) -> None:
    """Warn of doses that look like logarithms, or like two units in different groups of cells."""
    values, place = read_doses(doses), f"`adata.obs[{dose_key!r}]`"
    warn_log_doses(values, place)
    warn_units(values, {key: obs[key] for key in groups}, place)


def _check_columns(obs: pd.DataFrame, keys_of: dict[str, list[str]]) -> None:
    for argument, keys in keys_of.items():
        for key in keys:
            check_column(obs, argument, key)


def _count_cells(table: PerturbationTable, labels: pd.Series) -> dict[str, int]:
    """Count the cells of each perturbation, alone or in combinations."""
    n_cells = labels.astype(str).value_counts()
    counts = dict.fromkeys(table.perturbations, 0)
    for label, parts in zip(table.labels, table.components, strict=True):
        for part in parts[parts >= 0]:
            counts[table.perturbations[part]] += int(n_cells[label])
    return counts
