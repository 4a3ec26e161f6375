"""Figures of the report of an evaluation, and the numbers behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from scgim import pl
from scgim.evaluation._scoring import R2_CONTROL, WMSE, Scorer
from scgim.evaluation.report._report import title_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scgim.evaluation._claim import Verdict
    from scgim.evaluation._evaluate import Evaluation
    from scgim.evaluation._scoring import ScoringSettings
    from scgim.evaluation._trained_gim import TrainedGIM
    from scgim.evaluation.report._artifacts import OutputFolder

COVERAGE_LEVELS = (0.5, 0.65, 0.8, 0.9, 0.95)
MAX_STRATA = 8
EFFECT_NAMES = ("weak effect", "medium effect", "strong effect")
MIN_FOR_CURVE = 3
ERROR = "squared error of the mean shift"


def condition_errors(
    gim: TrainedGIM, evaluation: Evaluation, settings: ScoringSettings
) -> pd.DataFrame:
    """Measure how wrong each condition is, and how uncertain it was said to be.

    Parameters
    ----------
    gim
        Trained predictor.
    evaluation
        Its evaluation.
    settings
        How many genes are looked at.

    Returns
    -------
    Columns ``error`` (mean square over moving genes, less the sampling variance of the truth) and
    ``uncertainty`` (mean half-width of the interval), over conditions that can be predicted.
    """
    predictable = _Predictable.of(gim, evaluation, settings)
    if predictable.conditions.empty:
        return pd.DataFrame({"error": [], "uncertainty": []})
    mean, half_width = predictable.predict(gim, settings.level)
    error = (mean - predictable.shift) ** 2 - predictable.standard_error**2
    return pd.DataFrame({"error": error.mean(axis=1), "uncertainty": half_width.mean(axis=1)})


def coverage_at(
    levels: Sequence[float],
    gim: TrainedGIM,
    evaluation: Evaluation,
    settings: ScoringSettings,
) -> pd.DataFrame:
    """Measure how often intervals of several levels cover the true shifts.

    Parameters
    ----------
    levels
        Levels of the intervals.
    gim
        Trained predictor.
    evaluation
        Its evaluation.
    settings
        How many genes are looked at.

    Returns
    -------
    Columns ``level`` and ``coverage`` over conditions that can be predicted and moving genes.
    """
    predictable = _Predictable.of(gim, evaluation, settings)
    if predictable.conditions.empty:
        return pd.DataFrame({"level": [], "coverage": []})
    rows = []
    for level in levels:
        mean, half_width = predictable.predict(gim, level)
        allowed = np.hypot(half_width, norm.ppf(0.5 + level / 2) * predictable.standard_error)
        rows.append((level, float((np.abs(mean - predictable.shift) <= allowed).mean())))
    return pd.DataFrame(rows, columns=["level", "coverage"])


class _Predictable(NamedTuple):
    """The held-out conditions that a GIM can predict, and the truth of the genes that move."""

    conditions: pd.DataFrame
    genes: NDArray[np.int64]
    shift: NDArray[np.float64]
    standard_error: NDArray[np.float64]

    @classmethod
    def of(cls, gim: TrainedGIM, evaluation: Evaluation, settings: ScoringSettings) -> _Predictable:
        truth = evaluation.truth
        can = np.array([not reason for reason in gim.why_not(truth.conditions)], dtype=bool)
        genes = Scorer(evaluation.screen, truth, settings).moving_genes
        cut = np.ix_(can, genes)
        standard_error = np.nan_to_num(truth.standard_error[cut])
        return cls(truth.conditions[can], genes, truth.shift[cut], standard_error)

    def predict(
        self, gim: TrainedGIM, level: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and half-width of the interval, each ``(n_conditions, n_genes)``."""
        mean, lower, upper = gim.predict_interval(self.conditions, level)
        return mean[:, self.genes], (upper - lower)[:, self.genes] / 2


def add_differences(folder: OutputFolder, verdict: Verdict, where: str = "") -> None:
    """Add the figure of paired differences to the best baselines, if there are any.

    Parameters
    ----------
    folder
        Where to add it.
    verdict
        The verdict.
    where
        Split, where a page shows several.
    """
    if verdict.differences.empty:
        return
    means = verdict.differences.groupby("metric", sort=False)["difference"].mean()
    words = ", ".join(f"{metric} {value:+.3f}" for metric, value in means.items())
    folder.add_figure(
        "paired_differences" + where.replace("--split ", "_"),
        pl.paired_differences(verdict.differences),
        title=title_at("Better or worse than the best baseline", where),
        description=f"Paired differences to the best baseline of each metric: {words}.",
        note=(
            "One mark per seed, with its 95 % interval over perturbations; filled where the interval "
            "excludes 0."
        ),
    )


def add_figures(
    folder: OutputFolder,
    scores: pd.DataFrame,
    verdict: Verdict,
    evaluation: Evaluation,
    coverage: pd.DataFrame,
    errors: pd.DataFrame,
) -> None:
    """Add the other figures that apply.

    Parameters
    ----------
    folder
        Where to add them.
    scores
        All scores.
    verdict
        The verdict.
    evaluation
        That of the first seed, whose shifts are drawn.
    coverage
        Coverage at several levels and seeds, one of which may be that of all trainings together.
    errors
        Error and uncertainty of each condition, and its seed.
    """
    name = verdict.predictor
    if np.isfinite(evaluation.shifts[name]).any():
        _add_shifts(folder, evaluation, name)
    if len(coverage):
        _add_uncertainty(folder, coverage, errors)
    _add_strata(folder, scores, verdict)


def _add_shifts(folder: OutputFolder, evaluation: Evaluation, name: str) -> None:
    truth = evaluation.truth
    can = np.isfinite(evaluation.shifts[name]).all(axis=1)
    labels = np.array(truth.labels)[can]
    genes = truth.cells.var_names
    tables = [
        pd.DataFrame(shift[can], index=labels, columns=genes)
        for shift in (evaluation.shifts[name], truth.shift)
    ]
    folder.add_figure(
        "predicted_vs_observed",
        pl.predicted_vs_observed(*tables),
        title="Predicted against observed shifts",
        description=(
            f"Scatter of predicted against observed mean shifts of {len(genes)} genes in "
            f"{len(labels)} held-out conditions of the first seed."
        ),
        note="Each point is a gene in a held-out condition; the dashed line is a perfect prediction.",
    )


def _add_uncertainty(folder: OutputFolder, coverage: pd.DataFrame, errors: pd.DataFrame) -> None:
    words = coverage.groupby("level")["coverage"].mean()
    folder.add_figure(
        "coverage",
        pl.interval_coverage(coverage),
        title="Do intervals cover the truth?",
        description="Coverage by level: "
        + ", ".join(f"{level:.0%}: {share:.0%}" for level, share in words.items())
        + ".",
        note=(
            "Share of true mean shifts inside the interval. On the dashed line intervals are honest; "
            "below it the model is too sure. The sampling error of the measured shift is allowed for."
        ),
    )
    if len(errors) and errors.groupby("seed").size().min() >= MIN_FOR_CURVE:
        sure = errors.groupby("seed").apply(_error_of_surest_half, include_groups=False).mean()
        folder.add_figure(
            "risk_coverage",
            pl.risk_coverage(errors, label=ERROR),
            title="Does it know when it is wrong?",
            description=(
                f"Mean {ERROR} against the share of conditions kept, the surest first: "
                f"{sure:.3f} over the surest half, {errors['error'].mean():.3f} over all."
            ),
            note=(
                "A line that rises to the right says that uncertain predictions are the wrong ones. Over "
                "the genes that move most; the sampling error of the measured shift is taken off."
            ),
        )


def _error_of_surest_half(errors: pd.DataFrame) -> float:
    surest = errors.sort_values("uncertainty").head((len(errors) + 1) // 2)
    return float(surest["error"].mean())


def _add_strata(folder: OutputFolder, scores: pd.DataFrame, verdict: Verdict) -> None:
    strata, kind = stratify(scores)
    wanted = [verdict.predictor, *_rivals(scores, verdict), "technical duplicate"]
    rows = strata[(strata["metric"] == R2_CONTROL) & strata["predictor"].isin(wanted)]
    rows = rows.dropna(subset="value")
    if rows.empty:
        return
    order = {name: index for index, name in enumerate(wanted)}
    rows = rows.sort_values("predictor", key=lambda names: names.map(order), kind="stable")
    folder.add_figure(
        "strata",
        pl.score_by_stratum(rows, label=R2_CONTROL),
        title=f"Score by {kind}",
        description=f"{R2_CONTROL} by {kind} of {', '.join(map(str, dict.fromkeys(rows['predictor'])))}.",
        note=f"Mean over conditions and seeds of {R2_CONTROL}; 0 is a prediction of no effect.",
    )


def _rivals(scores: pd.DataFrame, verdict: Verdict) -> list[str]:
    """Name the best baselines of the metrics, and the mean that every model has to beat."""
    best = list(dict.fromkeys(verdict.differences["baseline"])) if len(verdict.differences) else []
    names = [*best, "mean of treated"]
    return [name for name in dict.fromkeys(names) if name in set(scores["predictor"])][:4]


def stratify(scores: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Put conditions into strata: doses where there are several, else sizes of the effect.

    Parameters
    ----------
    scores
        All scores.

    Returns
    -------
    Scores with a column ``stratum``, in the order to draw, and what the strata are.
    """
    doses = np.sort(scores["dose"].unique())
    if 1 < len(doses) <= MAX_STRATA:
        ordered = scores.sort_values("dose", kind="stable")
        return ordered.assign(stratum=[f"{dose:g}" for dose in ordered["dose"]]), "dose"
    keys = ["seed", "perturbation", "dose", "context"]
    is_size = (scores["predictor"] == "no effect") & (scores["metric"] == WMSE)
    size = scores[is_size].set_index(keys)["value"]
    rank = size.rank(method="first").to_numpy() - 1
    stratum = (rank * len(EFFECT_NAMES) // len(rank)).astype(int)
    number = pd.Series(stratum, index=size.index, name="number")
    joined = scores.join(number, on=keys).sort_values("number", kind="stable")
    return joined.assign(stratum=[EFFECT_NAMES[i] for i in joined["number"]]), "size of the effect"
