"""What the report of an evaluation says about predictions that are the same for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim.evaluation._sanity_checks import compare_between_variance
from scgim.evaluation.report._report import ReportTable, ReportText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scgim.evaluation._evaluate import Evaluation
    from scgim.evaluation.report._artifacts import OutputFolder

TITLE = "Do predictions differ between perturbations?"
NOTE = (
    "Variance of the mean shift between perturbations at one dose and context, predicted over true, less "
    "the sampling noise of the truth. 0: one answer for all. An honest prediction that explains a share R² "
    "of the variance has about that ratio, and not 1. Means over seeds; lowest and highest end of the 95 % "
    "intervals over perturbations. Collapsed: seeds whose interval lies below 0.02."
)
NOTHING_DIFFERS = (
    "Cannot be asked: at no dose and context were two or more perturbations held out whose true shifts "
    "differ beyond their sampling noise."
)
MAX_RATIO = 100.0
"""Beyond it, true shifts do not differ measurably and a ratio says nothing."""


def compare_predictors(evaluation: Evaluation) -> pd.DataFrame:
    """Compare how much the predictions of each predictor differ with how much the truth does.

    Parameters
    ----------
    evaluation
        Evaluation of one seed.

    Returns
    -------
    Columns ``predictor``, ``ratio``, ``lower``, ``upper`` and ``is_collapsed``; no row where nothing
    can be compared.
    """
    truth = evaluation.truth
    place = truth.plain.groupby(["dose", "context"])["perturbation"]
    is_compared = (place.transform("nunique") > 1).to_numpy()
    code = place.ngroup().to_numpy()[is_compared]
    noise = np.nan_to_num(truth.moments.variance / truth.moments.n_cells[:, None])[is_compared]
    rows = []
    if is_compared.any():
        for name, shift in evaluation.shifts.items():
            if np.isfinite(shift[is_compared]).all():
                found = compare_between_variance(
                    shift[is_compared],
                    truth.shift[is_compared],
                    truth.plain["perturbation"][is_compared],
                    pd.Series(code),
                    sampling_variance=noise,
                )
                rows.append((name, found.ratio, found.lower, found.upper, found.is_collapsed))
    table = pd.DataFrame(rows, columns=["predictor", "ratio", "lower", "upper", "is_collapsed"])
    return table[table["ratio"] <= MAX_RATIO]


def add_collapse(folder: OutputFolder, evaluations: Sequence[Evaluation], name: str) -> None:
    """Add the table of all predictors, or why there is none.

    Parameters
    ----------
    folder
        Where to add it.
    evaluations
        Evaluations of all seeds.
    name
        Predictor to emphasise.
    """
    found = pd.concat([compare_predictors(evaluation) for evaluation in evaluations])
    if name not in set(found["predictor"]):
        folder.items.append(ReportText(TITLE, NOTHING_DIFFERS))
        return
    table = found.groupby("predictor", sort=False).agg(
        ratio=("ratio", "mean"),
        lowest=("lower", "min"),
        highest=("upper", "max"),
        n_collapsed=("is_collapsed", "sum"),
        n_seeds=("is_collapsed", "size"),
    )
    collapsed = table.pop("n_collapsed").astype(str) + " of " + table.pop("n_seeds").astype(str)
    shown = table.assign(collapsed=collapsed).rename_axis(None)
    folder.add_table(ReportTable(TITLE, shown, note=NOTE, digits=3, emphasis=name))
