"""Scores that the benchmarks of simulated worlds have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgim.benchmark._figures import ABSTAINED, COVERAGE, ENERGY, R2
from scgim.benchmark._held_out_truth import HeldOutTruth, project
from scgim.evaluation._baselines import GeneratorOnComponents
from scgim.evaluation._evaluate import all_baselines
from scgim.evaluation._feature_audit import audit_on

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from scgim.evaluation._moved_control import MovedControl
    from scgim.evaluation._predictors import GIMPredictor, Predictor
    from scgim.evaluation._trained_gim import TrainedGIM
    from scgim.evaluation._training_screen import TrainingScreen

CELL_SEED = 1
N_AUDIT_DRAWS = 3


def world_baselines() -> list[MovedControl]:
    """Make what GIM is compared with: every baseline, and its generator without a causal model.

    Returns
    -------
    Unfitted predictors, simplest first.
    """
    return [*all_baselines(), GeneratorOnComponents()]


def score_predictions(
    predictor: Predictor,
    shift: NDArray[np.float64],
    screen: TrainingScreen,
    truth: HeldOutTruth,
) -> list[dict[str, object]]:
    """Score mean shifts and cells of a fitted predictor.

    Parameters
    ----------
    predictor
        Fitted on ``screen``.
    shift
        Mean shift that it predicts for the held-out conditions, ``(n_conditions, n_genes)``.
    screen
        The training cells.
    truth
        The held-out conditions.

    Returns
    -------
    One row per metric and split: ``predictor``, ``split``, ``metric`` and ``value``. A split with a
    condition that it cannot predict has none.
    """
    is_predicted = np.array([np.isfinite(row).all() for row in shift])
    scored = np.zeros(len(shift), dtype=bool)
    for rows in truth.splits.values():
        if is_predicted[rows].all():
            scored |= rows
    if not scored.any():
        return []
    part = truth.where(scored)
    n_cells = part.cells.shape[1]
    cells = predictor.predict_cells(part.conditions, n_cells, seed=CELL_SEED)
    return to_rows(
        predictor.name,
        {
            R2: part.score_shift(shift[scored]),
            ENERGY: part.score_cells(project(screen, cells)),
        },
    )


def score_uncertainty(
    gim: TrainedGIM, lower: NDArray[np.float64], upper: NDArray[np.float64], truth: HeldOutTruth
) -> list[dict[str, object]]:
    """Score what GIM says of its own predictions.

    Parameters
    ----------
    gim
        A trained GIM.
    lower
        Lower ends of its 80 % intervals, shape ``(n_conditions, n_genes)``.
    upper
        Upper ends, same shape.
    truth
        The held-out conditions.

    Returns
    -------
    Rows as of :func:`score_predictions`: how often 80 % intervals cover the true shift of the genes
    that move most, and the share of the conditions that it abstains from.
    """
    abstains = np.array(gim.why_abstain(truth.conditions)) != ""
    by_metric = {
        COVERAGE: truth.score_interval(lower, upper),
        ABSTAINED: {split: float(abstains[rows].mean()) for split, rows in truth.splits.items()},
    }
    return to_rows(gim.name, by_metric)


def audit_at_top_dose(
    gim: GIMPredictor, screen: TrainingScreen, truth: HeldOutTruth, *, seed: int
) -> tuple[dict[str, object], float]:
    """Audit whether a GIM uses features, where effects are largest.

    Parameters
    ----------
    gim
        A trained GIM.
    screen
        The cells that it was trained on, with its features.
    truth
        Held-out conditions of unseen drugs.
    seed
        Seed of the draws.

    Returns
    -------
    ``predictor``, ``verdict`` and ``sentence``; and the R² that shuffled features cost.
    """
    dose = truth.conditions["dose"]
    is_top = (dose == dose.max()).to_numpy()
    conditions = truth.conditions.loc[is_top, ["drug", "dose"]].reset_index(drop=True)
    audit = audit_on(gim, screen, conditions, truth.shift[is_top], n_draws=N_AUDIT_DRAWS, seed=seed)
    row: dict[str, object] = {
        "predictor": audit.predictor,
        "verdict": audit.verdict,
        "sentence": audit.sentence,
    }
    return row, float(audit.effects.set_index("ablation").loc["shuffled", "effect"])


def to_rows(predictor: str, by_metric: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    """Write scores as the rows of a tidy table.

    Parameters
    ----------
    predictor
        Whose scores they are.
    by_metric
        Value by metric and split.

    Returns
    -------
    One row per metric and split.
    """
    return [
        {"predictor": predictor, "split": split, "metric": metric, "value": float(value)}
        for metric, by_split in by_metric.items()
        for split, value in by_split.items()
    ]


def value_of(rows: Iterable[dict[str, Any]], metric: str, splits: Iterable[str]) -> float:
    """Pick a value of the first of the splits that was scored; NaN if none was."""
    found = {row["split"]: row["value"] for row in rows if row["metric"] == metric}
    return next((float(found[split]) for split in splits if split in found), np.nan)
