"""What the report of an evaluation shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scgim.evaluation._scoring import COVERAGE, METRICS
from scgim.evaluation.report._report import ReportTable, ReportText, title_at

if TYPE_CHECKING:
    from scgim.evaluation._claim import Verdict
    from scgim.evaluation._feature_audit import FeatureAudit
    from scgim.evaluation.report._artifacts import OutputFolder

KIND_ORDER = ("evaluated", "baseline", "ablation", "ceiling")
READING = {"higher": "↑", "lower": "↓", "zero": "(near 0)"}
READING_OF = {COVERAGE: "(near .8)"}
MAX_NAMED = 3
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
    "A claim needs more than one table: unseen perturbations at random and by group, five seeds, and "
    'a feature audit that passes (the split "claim" asks for all of it). This page judges one split. Baselines '
    "are never left out; rows that lose stay."
)


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
        title_at("Paired differences to the best baseline", where),
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
