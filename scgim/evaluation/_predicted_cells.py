"""Predictions of others, handed over as cells, and predictions of objects that are asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from scgim._messages import closest, quote_some, warn
from scgim.data._doses import distinct_doses, snap_doses
from scgim.evaluation._checks import check_predicted_genes
from scgim.evaluation._expression_space import Space, read_predictions
from scgim.evaluation._held_out_cells import describe_conditions
from scgim.evaluation._scoring import Prediction, ScoringSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import anndata as ad
    from numpy.typing import NDArray

    from scgim.evaluation._held_out_cells import HeldOutCells
    from scgim.evaluation._predictors import Predictor
    from scgim.evaluation._training_screen import TrainingScreen

CONDITIONS_PER_BLOCK = 32


@runtime_checkable
class _StatesIntervals(Protocol):
    """A predictor that knows how sure it is."""

    def predict_interval(
        self, conditions: pd.DataFrame, level: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Predict mean shift, lower and upper end."""


@runtime_checkable
class _KnowsItsLimits(Protocol):
    """A predictor that says what it cannot predict."""

    def why_not(self, conditions: pd.DataFrame) -> list[str]:
        """Give a reason per condition, empty where it can predict."""


def predict_conditions(
    predictor: Predictor, truth: HeldOutCells, settings: ScoringSettings
) -> Prediction:
    """Predict the held-out conditions with a fitted predictor.

    Parameters
    ----------
    predictor
        Fitted predictor.
    truth
        The held-out cells, of which only the conditions are shown to it.
    settings
        How many cells to predict, and the level of intervals.

    Returns
    -------
    Its predictions.
    """
    conditions = truth.conditions
    why_not = [""] * len(conditions)
    if isinstance(predictor, _KnowsItsLimits):
        why_not = predictor.why_not(conditions)
    can = np.array([not reason for reason in why_not], dtype=bool)
    shift = np.full(truth.shift.shape, np.nan)
    half_width = None
    if can.any() and isinstance(predictor, _StatesIntervals):
        mean, lower, upper = predictor.predict_interval(conditions[can], settings.level)
        half_width = np.full_like(shift, np.nan)
        half_width[can] = (upper - lower) / 2
    elif can.any():
        mean = predictor.predict_shift(conditions[can])
    if can.any():
        check_predicted_shift(predictor.name, mean, expected=int(can.sum()))
        shift[can] = mean

    def cells(rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        blocks = np.array_split(rows, max(1, len(rows) // CONDITIONS_PER_BLOCK))
        return [
            cells_of_condition
            for number, block in enumerate(blocks)
            for cells_of_condition in predictor.predict_cells(
                conditions.iloc[block], settings.n_cells, seed=settings.seed + number
            )
        ]

    return Prediction(predictor.name, shift, why_not, cells, half_width)


def read_cells(
    predictions: ad.AnnData,
    name: str,
    screen: TrainingScreen,
    truth: HeldOutCells,
    settings: ScoringSettings,
    *,
    space: Space | None = None,
) -> Prediction:
    """Check cells that somebody predicted, and arrange them by held-out condition.

    Parameters
    ----------
    predictions
        Predicted cells, ``obs`` with the columns of the screen, genes found by name.
    name
        Name in the tables of results.
    screen
        The training cells.
    truth
        The held-out cells.
    settings
        At most how many cells per condition are looked at.
    space
        What the predictions hold; detected by default.

    Returns
    -------
    The predictions. The mean shift is that of all predicted cells of a condition from the control
    cells that predictors may see.
    """
    keys = screen.keys
    columns = predictions.obs.columns
    check_predicted_columns([key for key in keys.design if key not in columns], columns)
    order = check_predicted_genes(predictions.var_names, screen.adata.var_names)
    expression = read_predictions(predictions[:, order], screen.space, space)
    design = keys.plain(predictions.obs)
    design["dose"] = snap_doses(
        design["dose"].to_numpy(), distinct_doses(truth.plain["dose"].to_numpy())
    )
    is_control = (design["perturbation"] == keys.control).to_numpy()
    _check_copies(expression, is_control, screen, truth)
    wanted = pd.MultiIndex.from_frame(truth.plain)
    row = wanted.get_indexer(pd.MultiIndex.from_frame(design))
    groups = [np.flatnonzero(row == index) for index in range(truth.n_conditions)]
    missing = [not len(cells) for cells in groups]
    check_predicted_conditions(describe_conditions(truth.conditions[missing]), len(groups))
    control = np.array([screen.control_mean_of(context) for context in truth.plain["context"]])
    means = np.array([expression[cells].mean(axis=0, dtype=np.float64) for cells in groups])
    rng = np.random.default_rng(settings.seed)
    drawn = [rng.permutation(cells)[: settings.n_cells] for cells in groups]

    def cells(rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        return [expression[drawn[index]] for index in rows]

    return Prediction(name, means - control, [""] * len(groups), cells)


def _check_copies(
    expression: NDArray[np.float32],
    is_control: NDArray[np.bool_],
    screen: TrainingScreen,
    truth: HeldOutCells,
) -> None:
    """Refuse cells that were not predicted but copied from the screen."""
    direction = np.random.default_rng(0).standard_normal(expression.shape[1])

    def key(cells: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.round(cells.astype(np.float64) @ direction, 3)

    known = [screen.expression[screen.is_control], *truth.control_cells.values()]
    n_control = int(np.isin(key(expression[is_control]), key(np.vstack(known))).sum())
    is_full = (expression != 0).any(axis=1) & ~is_control
    n_held_out = int(np.isin(key(expression[is_full]), key(truth.expression)).sum())
    is_copied = n_held_out > 0.5 * is_full.sum()
    check_no_copied_cells(
        n_control=n_control,
        n_held_out=n_held_out if is_copied else 0,
        control=screen.keys.control,
    )
    warn_own_controls(int(is_control.sum()), screen.keys.control)


def check_predicted_shift(name: str, shift: NDArray[np.float64], *, expected: int) -> None:
    """Raise if a predictor gives NaN without saying why, or the wrong number of conditions.

    Parameters
    ----------
    name
        Name of the predictor.
    shift
        Its shifts, conditions that it cannot predict left out.
    expected
        Number of conditions that it was asked for.
    """
    if len(shift) != expected:
        msg = (
            f"The predictor {name!r} gave {len(shift)} shifts for {expected} conditions. Return one "
            "row per condition, in the order of the table."
        )
        raise ValueError(msg)
    n_bad = int((~np.isfinite(shift)).any(axis=1).sum())
    if n_bad:
        msg = (
            f"The predictor {name!r} gave shifts that are NaN or infinite for {n_bad} of {expected} "
            "conditions. Repair it, or let its `why_not` say why it cannot predict them."
        )
        raise ValueError(msg)


def check_predicted_columns(missing: Sequence[str], columns: Collection[str]) -> None:
    """Raise if predictions do not say which condition a cell belongs to.

    Parameters
    ----------
    missing
        Columns that are needed and not there.
    columns
        Columns of the predictions.
    """
    if missing:
        msg = (
            f"`predictions.obs` has no column {missing[0]!r}; the columns closest to it are "
            f"{closest(missing[0], columns)}. Name perturbation, dose and context as in `adata.obs`."
        )
        raise ValueError(msg)


def check_predicted_conditions(missing: Sequence[str], n_expected: int) -> None:
    """Raise if predictions lack conditions that are held out.

    Parameters
    ----------
    missing
        Held-out conditions without predicted cells, in words.
    n_expected
        Number of held-out conditions.
    """
    if missing:
        msg = (
            f"`predictions` have no cells for {len(missing)} of {n_expected} held-out conditions: "
            f"{quote_some(missing)}. Predict them all, with `obs` columns named as in `adata`: a score "
            "over conditions that a predictor chose itself cannot be compared."
        )
        raise ValueError(msg)


def check_no_copied_cells(*, n_control: int, n_held_out: int, control: str) -> None:
    """Raise if predictions contain cells of the screen itself.

    Parameters
    ----------
    n_control
        Predicted control cells that equal control cells of the screen.
    n_held_out
        Predicted cells that equal held-out cells.
    control
        Label of the control.
    """
    if n_held_out:
        msg = (
            f"{n_held_out} cells of `predictions` are copies of held-out cells of `adata`. Their score "
            "would be that of the truth. Pass predictions of a model that did not see these cells."
        )
        raise ValueError(msg)
    if n_control:
        msg = (
            f"`predictions` contain {n_control} cells of the control {control!r} that are identical to "
            "control cells of `adata`. Predictions and truth must not be compared with the same "
            "control cells: their shared noise counts as success and can be gamed. Leave the control "
            "out, scgim uses disjoint control cells for both: "
            f"`predictions[predictions.obs[perturbation] != {control!r}]`."
        )
        raise ValueError(msg)


def warn_own_controls(n_cells: int, control: str) -> None:
    """Warn that a predictor's own control cells are not used.

    Parameters
    ----------
    n_cells
        Predicted control cells.
    control
        Label of the control.
    """
    if n_cells:
        warn(
            f"`predictions` bring {n_cells} control cells ({control!r}) of their own. They are not "
            "used: all shifts are taken from control cells of `adata`."
        )
