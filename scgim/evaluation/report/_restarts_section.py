"""What the report of an evaluation says about trainings with other seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim.evaluation._pooled_gim import PooledGIM
from scgim.evaluation._predicted_cells import predict_conditions
from scgim.evaluation._predictors import GIMPredictor
from scgim.evaluation._scoring import (
    COVERAGE,
    HALF_WIDTH,
    R2_CONTROL,
    WMSE,
    Prediction,
    Scorer,
    ScoringSettings,
)
from scgim.evaluation._trained_gim import TrainedGIM
from scgim.evaluation.report._evaluation_figures import COVERAGE_LEVELS, coverage_at
from scgim.evaluation.report._report import ReportTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgim.evaluation._evaluate import Evaluation
    from scgim.evaluation.report._artifacts import OutputFolder

SEED_STEP = 100
TOGETHER = "all together"
SHOWN = (WMSE, R2_CONTROL, COVERAGE, HALF_WIDTH)
NOTE = (
    "GIM trained again on the same cells with other seeds, first split only. Together, the trainings are a "
    "mixture: the mean of their means, with an interval that is as wide as theirs and as their disagreement "
    "(scgim.model.predict_pooled_shift). Coverage should be near 0.8. Spread is the standard deviation of a "
    "gene's predicted shift between trainings, over the genes that move most."
)


@dataclass(frozen=True)
class Restarts:
    """Several trainings on one split.

    Attributes
    ----------
    table
        Scores of each training and of all together.
    coverage
        Coverage of all together at several levels.
    """

    table: pd.DataFrame
    coverage: pd.DataFrame


def train_restarts(
    gim: GIMPredictor,
    evaluation: Evaluation,
    scoring: ScoringSettings,
    n_trainings: int,
    progress: Callable[[str], None],
) -> Restarts | None:
    """Train again with other seeds, and score each training and all together.

    Parameters
    ----------
    gim
        Trained predictor.
    evaluation
        Its evaluation.
    scoring
        Sizes.
    n_trainings
        Trainings in all.
    progress
        Told what is going on.

    Returns
    -------
    The scores; ``None`` where there is nothing to compare.
    """
    truth = evaluation.truth
    if n_trainings < 2 or all(gim.why_not(truth.conditions)):
        return None
    members: list[TrainedGIM] = [gim]
    for number in range(1, n_trainings):
        progress(f"training {number + 1}")
        other = GIMPredictor(
            f"training {number + 1}",
            n_nodes=gim.n_nodes,
            measure_gauge=False,
            train_kwargs=gim.train_kwargs,
            seed=gim.seed + SEED_STEP * number,
        )
        other.fit(evaluation.screen)
        members.append(other)
    pooled = PooledGIM([TrainedGIM(member.model) for member in members], TOGETHER)
    pooled.fit(evaluation.screen)
    scorer = Scorer(evaluation.screen, truth, scoring)
    predictions = [
        predict_conditions(predictor, truth, scoring) for predictor in (*members, pooled)
    ]
    table = pd.DataFrame([_score(scorer, prediction) for prediction in predictions])
    names = [*(f"training {number + 1}" for number in range(n_trainings)), TOGETHER]
    shifts = np.array([prediction.shift for prediction in predictions[:n_trainings]])
    spread = float(np.nanmean(shifts.std(axis=0)[:, scorer.moving_genes]))
    together = [""] * n_trainings + [f"{spread:.3f}"]
    return Restarts(
        table.set_axis(names).assign(spread=together),
        coverage_at(COVERAGE_LEVELS, pooled, evaluation, scoring),
    )


def _score(scorer: Scorer, prediction: Prediction) -> dict[str, float]:
    scores = scorer.score(prediction)
    means = scores.groupby("metric")["value"].mean()
    return {name: float(means[name]) for name in SHOWN}


def add_restarts(folder: OutputFolder, restarts: Restarts | None) -> None:
    """Add the table of trainings, if there were several.

    Parameters
    ----------
    folder
        Where to add it.
    restarts
        The scores.
    """
    if restarts is not None:
        title = "Does another training say the same?"
        folder.add_table(ReportTable(title, restarts.table, note=NOTE, digits=3, emphasis=TOGETHER))
