"""The gate that every condition, and every cell given with it, passes before a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim._messages import closest, quote_some, warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from torch import Tensor

    from scgim.data import Screen

# What a prediction writes beside the conditions; it may be asked for again as it came.
WRITTEN_COLUMNS = (
    "is_seen",
    "is_dose_extrapolated",
    "feature_distance",
    "feature_similarity",
    "nearest_perturbation",
    "is_new_context",
    "is_new_in_context",
)
NO_GIVEN_CELL = "none of the given cells has its batch and covariates"


def check_columns(table: pd.DataFrame, screen: Screen, ignore: Sequence[str] | str) -> pd.DataFrame:
    """Raise where conditions have columns that the model does not use.

    Parameters
    ----------
    table
        Conditions that the user passed.
    screen
        Keys of the screen.
    ignore
        Columns that the user wants to carry along without effect.

    Returns
    -------
    The conditions without what an earlier prediction wrote beside them.

    Raises
    ------
    ValueError
        For a column that the model does not use, and a name in ``ignore`` that it does.
    """
    ignored = [ignore] if isinstance(ignore, str) else [str(name) for name in ignore]
    table = table.set_axis(table.columns.map(str), axis=1)
    repeated = table.columns[table.columns.duplicated()].unique()
    if len(repeated):
        message = (
            f"`conditions` has several columns named {quote_some(list(repeated))}, but each column "
            "says one thing. Drop all but one."
        )
        raise ValueError(message)
    used = used_keys(screen)
    _check_ignored(ignored, used)
    table = table.drop(columns=[c for c in WRITTEN_COLUMNS if c in table and c not in ignored])
    unused = [name for name in table.columns if name not in used and name not in ignored]
    if unused:
        raise ValueError(_describe_unused(unused, used, screen))
    return table


def used_keys(screen: Screen) -> list[str]:
    """Columns of conditions that a model uses.

    Parameters
    ----------
    screen
        Keys of the screen.

    Returns
    -------
    Columns of perturbation, dose, batch and categorical covariates, where there are any.
    """
    keys = [screen.perturbation_key, screen.dose_key, *context_columns(screen)]
    return [key for key in keys if key is not None]


def _check_ignored(ignored: list[str], used: list[str]) -> None:
    needed = [name for name in ignored if name in used]
    if needed:
        message = (
            f"`ignore` names {quote_some(needed)}, which the model was set up with and uses. "
            "Leave it out of `ignore`; to leave a batch or covariate open, drop its column."
        )
        raise ValueError(message)


def _describe_unused(unused: list[str], used: list[str], screen: Screen) -> str:
    continuous = [name for name in unused if name in screen.continuous_covariates]
    if continuous:
        return (
            f"`conditions` has the continuous covariate {quote_some(continuous)}, but a prediction "
            "takes continuous covariates from the control cells that it starts from. Drop the "
            "column, or pass control cells with the values you want as `adata`."
        )
    return (
        f"`conditions` has columns that the model does not use: {quote_some(unused)}. It was set up "
        f"with {quote_some(used, len(used))}, so its prediction is the same whatever they say. "
        "Correct the name, register the column as batch or covariate in `GIM.setup_anndata` and "
        f"train again, or pass `ignore={unused!r}` to carry it along without effect."
    )


def context_columns(screen: Screen) -> dict[str, tuple[object, ...]]:
    """Columns of ``obs`` with batch and categorical covariates, and the categories of each."""
    columns = {} if screen.batch_key is None else {screen.batch_key: screen.batches}
    return columns | screen.categorical_covariates


def check_base_cells(obs: pd.DataFrame, screen: Screen, *, allow_perturbed: bool) -> None:
    """Raise unless the cells to be perturbed are control cells.

    Parameters
    ----------
    obs
        Columns of the given cells.
    screen
        Keys of the screen.
    allow_perturbed
        Whether the user said that perturbed cells are meant.

    Raises
    ------
    ValueError
        When the column of perturbations is missing, or has perturbed cells.
    """
    key, control = screen.perturbation_key, screen.table.control
    if key not in obs:
        message = (
            f"`adata.obs` has no column {key!r}, so nothing says that its cells are control cells. "
            f"The columns closest to it are {closest(key, obs.columns)}. Add it, for example "
            f"`adata.obs[{key!r}] = {control!r}`."
        )
        raise ValueError(message)
    labels = obs[key].astype(str)
    is_perturbed = (labels != control).to_numpy()
    if is_perturbed.any() and not allow_perturbed:
        names = list(labels[is_perturbed].unique())
        message = (
            f"{int(is_perturbed.sum())} of the {len(obs)} cells in `adata` are perturbed by "
            f"{quote_some(names)}, but a prediction starts from control cells "
            f"(`adata.obs[{key!r}] == {control!r}`). Pass those only. If an effect on top of "
            "theirs is meant, pass `allow_perturbed=True`."
        )
        raise ValueError(message)


def match_cells(conditions: pd.DataFrame, obs: pd.DataFrame, screen: Screen) -> np.ndarray:
    """Find which given cells have the batch and covariates that each condition asks for.

    Parameters
    ----------
    conditions
        One row per condition.
    obs
        Columns of the given cells.
    screen
        Keys of the screen.

    Returns
    -------
    Shape ``(n_conditions, n_cells)``; what a condition leaves open every cell has.
    """
    is_match = np.ones((len(conditions), len(obs)), bool)
    for key in context_columns(screen):
        if key in conditions and key in obs:
            asked = conditions[key].astype(str).to_numpy(object)
            is_same = asked[:, None] == obs[key].astype(str).to_numpy(object)[None]
            is_match &= is_same | conditions[key].isna().to_numpy()[:, None]
    return is_match


def warn_unmatched(conditions: pd.DataFrame, has_cells: np.ndarray, screen: Screen) -> None:
    """Warn of conditions for which no cell was given, and raise where there are no others.

    Parameters
    ----------
    conditions
        One row per condition.
    has_cells
        Whether some given cell has the batch and covariates of each.
    screen
        Keys of the screen.

    Raises
    ------
    ValueError
        When no condition is left.
    """
    if has_cells.all():
        return
    keys = [key for key in context_columns(screen) if key in conditions]
    rows = conditions.loc[~has_cells, keys].drop_duplicates().astype(str)
    asked = [" and ".join(f"{k}={v}" for k, v in row.items()) for row in rows.to_dict("records")]
    found = (
        f"{int((~has_cells).sum())} of {len(conditions)} conditions ask for {quote_some(asked)}, "
        "but no cell in `adata` has it, and a cell is not moved to another batch or covariate."
    )
    if not has_cells.any():
        message = f"{found} Pass control cells of these, or leave out `adata` to draw them."
        raise ValueError(message)
    warn(
        f"{found} These conditions are left out and listed in `uns['scgim']['abstained']`. Pass "
        "control cells of them, or leave out `adata` to draw them."
    )


def context_of_cells(
    base: Mapping[str, Tensor], cell: np.ndarray, screen: Screen
) -> dict[str, np.ndarray]:
    """Batch and covariates of the cells that a prediction starts from, as the user writes them.

    Parameters
    ----------
    base
        Codes of the batch and categorical covariates, and continuous covariates, of base cells.
    cell
        Base cell of each predicted cell.
    screen
        Keys of the screen.

    Returns
    -------
    Column of ``obs`` to its values.
    """
    codes = {} if screen.batch_key is None else {screen.batch_key: base["batch"]}
    for column, key in enumerate(screen.categorical_covariates):
        codes[key] = base["categories"][:, column]
    values = context_columns(screen)
    context = {
        key: np.array([str(v) for v in values[key]], object)[code.long().numpy()[cell]]
        for key, code in codes.items()
    }
    scaling = screen.continuous_scaling or ((0.0, 1.0),) * len(screen.continuous_covariates)
    for column, (key, (center, scale)) in enumerate(
        zip(screen.continuous_covariates, scaling, strict=True)
    ):
        drawn = base["continuous"][:, column].numpy()[cell].astype(np.float64)
        context[key] = drawn * scale + center
    return context
