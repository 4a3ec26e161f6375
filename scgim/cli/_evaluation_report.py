"""What the report of an evaluation shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from scgim import pl
from scgim.benchmark import FeatureAudit, ScoringSettings, TrainedGIM, Verdict
from scgim.benchmark._evaluate import Evaluation
from scgim.benchmark._scoring import COVERAGE, HALF_WIDTH, METRICS, R2_CONTROL, WMSE, Scorer
from scgim.cli._artifacts import OutputFolder
from scgim.cli._report import ReportTable, ReportText

COVERAGE_LEVELS = (0.5, 0.65, 0.8, 0.9, 0.95)
KIND_ORDER = ("evaluated", "baseline", "ablation", "ceiling")
READING = {"higher": "↑", "lower": "↓", "zero": "(near 0)"}
READING_OF = {COVERAGE: "(near .8)"}
MAX_STRATA = 8
EFFECT_NAMES = ("weak effect", "medium effect", "strong effect")
MAX_NAMED = 3
MIN_FOR_CURVE = 3
FAMILY_NOTES = {
    "effect": (
        "Is the effect right?",
        (
            "Means over conditions and seeds; ↑ higher is better, ↓ lower is better. Nothing is clipped: R² "
            "below 0 is worse than its reference, the control or the mean of all perturbed cells. The "
            "ablation is GIM's generator without its causal model. The technical duplicate compares half of "
            "the held-out cells with the other half, so small conditions keep it low. n/a: see 'What was "
            "left out'."
        ),
    ),
    "specificity": (
        "Are perturbations told apart?",
        (
            "Among the perturbations at the same dose and context; chance is .5. Rank ↓: share of other "
            "predictions nearer to the truth. Discrimination ↑: share of other truths further from the "
            "prediction. A model that says the same of all perturbations scores .5."
        ),
    ),
    "changed genes": (
        "Are the changed genes found?",
        "Genes that truly changed at a false discovery rate of 5 %.",
    ),
    "distribution": (
        "Are the cells right?",
        (
            "Energy distance and MMD in principal components of the training cells; Wasserstein-1 and "
            "dispersion over the genes that move most in training. Dispersion "
            "above 0 is too wide."
        ),
    ),
    "uncertainty": (
        "Are the intervals right?",
        "Share of true shifts in the 80 % interval, and its half-width.",
    ),
}
CLAIM_NOTE = (
    "A claim needs more than one table: unseen perturbations at random and by scaffold, five seeds, and "
    "a feature audit that passes (--split claim asks for all of it). This page judges one split. Baselines "
    "are never left out; rows that lose stay."
)


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
    truth = evaluation.truth
    can = np.array([not reason for reason in gim.why_not(truth.conditions)], dtype=bool)
    if not can.any():
        return pd.DataFrame({"level": [], "coverage": []})
    genes = Scorer(evaluation.screen, truth, settings).moving_genes
    cut = np.ix_(can, genes)
    error, sampling = truth.shift[cut], np.nan_to_num(truth.standard_error[cut])
    rows = []
    for level in levels:
        mean, lower, upper = gim.predict_interval(truth.conditions[can], level)
        allowed = np.hypot((upper - lower)[:, genes] / 2, norm.ppf(0.5 + level / 2) * sampling)
        rows.append((level, float((np.abs(mean[:, genes] - error) <= allowed).mean())))
    return pd.DataFrame(rows, columns=["level", "coverage"])


def summarize(
    verdict: Verdict, audit: FeatureAudit | str, scores: pd.DataFrame, split: str
) -> list[str]:
    """Write the paragraphs under the title.

    Parameters
    ----------
    verdict
        The verdict.
    audit
        Whether features are used, or in words why that was not asked.
    scores
        All scores.
    split
        Kind of split.

    Returns
    -------
    The paragraphs, the verdict first.
    """
    per_seed = scores[scores["predictor"] == verdict.predictor].groupby("seed")
    n_conditions = per_seed.apply(lambda rows: len(rows) // len(METRICS), include_groups=False)
    n_perturbations = per_seed["perturbation"].nunique()
    n_seeds = len(n_perturbations)
    held_out = (
        f"Split {split!r}: {_count(n_perturbations.mean(), 'perturbation')} and "
        f"{_count(n_conditions.mean(), 'condition')} held out per seed, {_count(n_seeds, 'seed')}."
    )
    audited = audit if isinstance(audit, str) else f"Feature audit: {audit.sentence}"
    return [verdict.sentence, audited, held_out, CLAIM_NOTE]


def _count(number: float, noun: str) -> str:
    return f"{number:.3g} {noun}{'' if number == 1 else 's'}"


def add_tables(folder: OutputFolder, scores: pd.DataFrame, verdict: Verdict) -> None:
    """Add the tables of all predictors, one per family of metrics, and the paired differences.

    Parameters
    ----------
    folder
        Where to add them.
    scores
        All scores.
    verdict
        The verdict.
    """
    for family, (title, note) in FAMILY_NOTES.items():
        table = mean_scores(scores, family)
        if table.drop(columns="kind").notna().to_numpy().any():
            folder.add_table(
                ReportTable(title, table, note=note, digits=3, emphasis=verdict.predictor)
            )
        else:
            folder.items.append(ReportText(title, _why_no_score(scores, family, verdict.predictor)))
    folder.add_table(difference_report(verdict))


def _why_no_score(scores: pd.DataFrame, family: str, predictor: str) -> str:
    """Say why a family of metrics has no value for any predictor."""
    names = [metric.name for metric in METRICS if metric.family == family]
    own = scores[(scores["predictor"] == predictor) & scores["metric"].isin(names)]
    reasons = "; ".join(own["reason"].unique())
    return f"No predictor has a score ({', '.join(names)}): {reasons}."


def difference_report(verdict: Verdict, where: str = "") -> ReportTable:
    """Make the table of paired differences.

    Parameters
    ----------
    verdict
        The verdict.
    where
        Split, where a page shows several.

    Returns
    -------
    The table.
    """
    return ReportTable(
        f"Paired differences to the best baseline {where}".strip(),
        difference_table(verdict.differences),
        note=(
            "Paired over perturbations, 95 % interval by bootstrap over perturbations; above 0 is "
            "better, whatever the direction of the metric."
        ),
        digits=3,
    )


def mean_scores(scores: pd.DataFrame, family: str) -> pd.DataFrame:
    """Average the scores of a family of metrics over conditions and seeds.

    Parameters
    ----------
    scores
        All scores.
    family
        Family of metrics.

    Returns
    -------
    Predictors x metrics, and the kind of predictor; the name of a metric has a sign that says which
    values are better. Rows of predictors that have no such score are kept, but for intervals.
    """
    wanted = [metric for metric in METRICS if metric.family == family]
    means = scores.pivot_table(
        index=["kind", "predictor"],
        columns="metric",
        values="value",
        aggfunc="mean",
        sort=False,
        dropna=False,
        observed=True,
    )
    means = means[means.index.isin(pd.MultiIndex.from_frame(scores[["kind", "predictor"]]))]
    order = sorted(means.index, key=lambda pair: KIND_ORDER.index(pair[0]))
    table = means.loc[order, [metric.name for metric in wanted]].reset_index("kind")
    table = table.rename(
        columns={m.name: f"{m.name} {READING_OF.get(m.name, READING[m.better])}" for m in wanted}
    )
    return table.dropna() if family == "uncertainty" else table


def difference_table(differences: pd.DataFrame) -> pd.DataFrame:
    """Lay out paired differences for reading.

    Parameters
    ----------
    differences
        Those of the verdict.

    Returns
    -------
    One row per metric and seed.
    """
    table = differences.set_index("metric")
    names = {
        "seed": "seed",
        "baseline": "best baseline",
        "predictor_score": "GIM",
        "baseline_score": "baseline",
        "difference": "difference",
        "lower": "lower",
        "upper": "upper",
        "n_perturbations": "perturbations",
    }
    shown = table[list(names)].rename(columns=names)
    return shown.astype({"seed": str, "perturbations": str})


def add_left_out(folder: OutputFolder, scores: pd.DataFrame) -> None:
    """Add the table of what has no score, and why.

    Parameters
    ----------
    folder
        Where to add it.
    scores
        All scores.
    """
    folder.add_table(
        ReportTable(
            "What was left out",
            left_out(scores),
            note=(
                "Rows of the table of scores without a value, by reason; nothing else was left out. The "
                "whole table is in tables/scores.csv."
            ),
        )
    )


def left_out(scores: pd.DataFrame) -> pd.DataFrame:
    """Count the rows without a value.

    Parameters
    ----------
    scores
        All scores.

    Returns
    -------
    Predictors, metrics and number of rows of each reason.
    """
    empty = scores[scores["reason"] != ""]
    n_predictors, n_metrics = scores["predictor"].nunique(), scores["metric"].nunique()
    rows = {
        reason: {
            "predictors": _name_some(table["predictor"], n_predictors),
            "metrics": _name_some(table["metric"], n_metrics),
            "rows": str(len(table)),
        }
        for reason, table in empty.groupby("reason", sort=False)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["predictors", "metrics", "rows"])


def _name_some(names: pd.Series, n_all: int) -> str:
    different = list(dict.fromkeys(names))
    if len(different) <= MAX_NAMED:
        return ", ".join(map(str, different))
    return "all" if len(different) == n_all else f"{len(different)} of {n_all}"


def add_figures(
    folder: OutputFolder,
    scores: pd.DataFrame,
    verdict: Verdict,
    evaluation: Evaluation,
    coverage: pd.DataFrame,
) -> None:
    """Add the figures that apply.

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
    """
    name = verdict.predictor
    if len(verdict.differences):
        _add_differences(folder, verdict)
    if np.isfinite(evaluation.shifts[name]).any():
        _add_shifts(folder, evaluation, name)
    if len(coverage):
        _add_uncertainty(folder, scores, coverage, name)
    _add_strata(folder, scores, verdict)


def _add_differences(folder: OutputFolder, verdict: Verdict) -> None:
    means = verdict.differences.groupby("metric", sort=False)["difference"].mean()
    words = ", ".join(f"{metric} {value:+.3f}" for metric, value in means.items())
    folder.add_figure(
        "paired_differences",
        pl.paired_differences(verdict.differences),
        title="Better or worse than the best baseline",
        description=f"Paired differences to the best baseline of each metric: {words}.",
        note=(
            "One mark per seed, with its 95 % interval over perturbations; filled where the interval "
            "excludes 0."
        ),
    )


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


def _add_uncertainty(
    folder: OutputFolder, scores: pd.DataFrame, coverage: pd.DataFrame, name: str
) -> None:
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
    keys = ["seed", "perturbation", "dose", "context"]
    own = scores[scores["predictor"] == name].set_index(keys)
    errors = pd.DataFrame(
        {
            "error": own.loc[own["metric"] == WMSE, "value"],
            "uncertainty": own.loc[own["metric"] == HALF_WIDTH, "value"],
        }
    ).dropna()
    if len(errors) and errors.groupby("seed").size().min() >= MIN_FOR_CURVE:
        sure = errors.groupby("seed").apply(_error_of_surest_half).mean()
        folder.add_figure(
            "risk_coverage",
            pl.risk_coverage(errors.reset_index(), label=WMSE),
            title="Does it know when it is wrong?",
            description=(
                "Mean error against the share of conditions kept, the surest first. Mean weighted MSE "
                f"of the surest half {sure:.3f}, of all {errors['error'].mean():.3f}."
            ),
            note="A line that rises to the right says that uncertain predictions are the wrong ones.",
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
