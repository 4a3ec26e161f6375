"""The claim rule: when a predictor may be called better than the baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from scgim.evaluation._scoring import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Word = Literal["better", "on par", "worse"]

MIN_SHARE_OF_SEEDS = 0.8
MIN_PERTURBATIONS = 5
MIN_SEEDS = 5
CONFIDENCE = 0.95
N_RESAMPLES = 2000
FAMILIES = ("effect", "specificity")
NO_AUDIT = "There was no feature audit."


@dataclass(frozen=True)
class Verdict:
    """What may be claimed of a predictor, and the numbers behind it.

    Attributes
    ----------
    predictor
        Name of the predictor.
    word
        "better", "on par" or "worse".
    sentence
        The claim with its numbers.
    differences
        One row per metric and seed: ``metric``, ``family``, ``seed``, ``baseline`` (the best one),
        ``predictor_score``, ``baseline_score``, ``difference`` (above 0 is better), ``lower``,
        ``upper`` and ``n_perturbations``.
    """

    predictor: str
    word: Word
    sentence: str
    differences: pd.DataFrame


def judge(
    scores: pd.DataFrame, predictor: str, *, uses_features: bool | None = None, seed: int = 0
) -> Verdict:
    """Judge a predictor by the claim rule.

    It is *better* when, on at least one metric of effect and at least one of specificity, the 95 %
    interval of its paired difference to the best baseline lies above 0 in at least four of five seeds.
    It is *worse* when that interval lies below 0 in as many seeds on at least one of these metrics and
    above 0 on none. Everything else is *on par*, also too few perturbations to tell. Differences are
    paired over perturbations and intervals are bootstrapped over perturbations, for conditions of one
    perturbation are not independent. The best baseline is chosen anew for each metric, on the held-out
    cells themselves, so the rule is hard on the predictor. GIM without its causal model (``kind``
    "ablation") is not a baseline of the rule. Scores alone never make a predictor of unseen
    perturbations better: a feature audit that does not pass leaves it *on par*.

    Parameters
    ----------
    scores
        Tables of :func:`evaluate`, those of several seeds put together.
    predictor
        Name of the predictor in them.
    uses_features
        Whether a feature audit says that the predictor uses features; ``None`` where there was none, or
        none is needed because the held-out perturbations were trained on.
    seed
        Seed of the bootstrap.

    Returns
    -------
    The verdict, for the split and the seeds of the scores.
    """
    names = scores.loc[scores["kind"] == "evaluated", "predictor"].unique().tolist()
    check_evaluated(predictor, names)
    by_perturbation = _means_by_perturbation(scores)
    rows = []
    for metric in METRICS:
        if metric.family in FAMILIES:
            table = by_perturbation[by_perturbation["metric"] == metric.name]
            rows += _compare_metric(table, predictor, metric.name, seed)
    differences = pd.DataFrame(rows, columns=DIFFERENCE_COLUMNS)
    word = _word(differences)
    sentence = _sentence(predictor, word, differences)
    if word == "better" and uses_features is None:
        sentence += f" {NO_AUDIT}"
    if word == "better" and uses_features is False:
        word = "on par"
        sentence = (
            f"{predictor} is on par with the baselines on this split: its scores are better, but the "
            f"feature audit does not pass, and without it they are no claim. {_numbers(differences)}"
        )
    return Verdict(predictor, word, sentence, differences)


def judge_overall(
    at_random: Verdict, by_group: Verdict, *, uses_features: bool | None, grouping: str = "scaffold"
) -> Verdict:
    """Join what was found on unseen perturbations at random and by group into the whole claim.

    Parameters
    ----------
    at_random
        Verdict with perturbations held out at random.
    by_group
        Verdict with whole groups of similar perturbations held out.
    uses_features
        Whether a feature audit says that the predictor uses the features; ``None`` if there was none.
    grouping
        What a group has in common.

    Returns
    -------
    "better" only where both verdicts are, each on five seeds or more, and the audit passes; "worse"
    where both are; else "on par".
    """
    parts = {"at random": at_random, f"by {grouping}": by_group}
    words = {verdict.word for verdict in parts.values()}
    lacking = _lacking(parts, uses_features=uses_features)
    word: Word = "worse" if words == {"worse"} else "on par"
    if words == {"better"} and not lacking:
        word = "better"
    found = "; ".join(f"{name}, {verdict.word}" for name, verdict in parts.items())
    because = f" {' '.join(lacking)}" if lacking and words == {"better"} else ""
    name = at_random.predictor
    says = {"better": "better than", "on par": "on par with", "worse": "worse than"}[word]
    sentence = f"On unseen perturbations {name} is {says} the best baseline ({found}).{because}"
    tables = [verdict.differences.assign(split=split) for split, verdict in parts.items()]
    return Verdict(name, word, sentence, pd.concat(tables, ignore_index=True))


def _lacking(parts: dict[str, Verdict], *, uses_features: bool | None) -> list[str]:
    """Say what a claim lacks though the scores would allow it."""
    lacking = [
        f"Only {n_seeds} seeds {name}, and five are needed."
        for name, verdict in parts.items()
        if (n_seeds := verdict.differences["seed"].nunique()) < MIN_SEEDS
    ]
    if uses_features is None:
        lacking.append(NO_AUDIT)
    elif not uses_features:
        lacking.append("The feature audit does not pass.")
    return lacking


DIFFERENCE_COLUMNS = [
    "metric",
    "family",
    "seed",
    "baseline",
    "predictor_score",
    "baseline_score",
    "difference",
    "lower",
    "upper",
    "n_perturbations",
]


def _means_by_perturbation(scores: pd.DataFrame) -> pd.DataFrame:
    """Average the conditions of each perturbation; ``gain`` has the sign that larger is better."""
    keys = ["kind", "predictor", "metric", "family", "better", "seed", "perturbation"]
    has_value = scores[scores["value"].notna()]
    means = has_value.groupby(keys, sort=False)["value"].mean().reset_index()
    sign = np.where(means["better"] == "lower", -1.0, 1.0)
    return means.assign(gain=sign * means["value"])


def _compare_metric(
    table: pd.DataFrame, predictor: str, metric: str, seed: int
) -> list[dict[str, object]]:
    """Compare with the baseline that is best over all seeds, seed by seed."""
    own = table[table["predictor"] == predictor]
    baselines = table[table["kind"] == "baseline"]
    complete = baselines.groupby("predictor")["gain"].agg(["mean", "size"])
    complete = complete[complete["size"] >= len(own)]
    if own.empty or complete.empty:
        return []
    best = str(complete["mean"].idxmax())
    of_best = baselines[baselines["predictor"] == best]
    paired = own.merge(of_best, on=["seed", "perturbation"], suffixes=("", "_baseline"))
    rows = []
    for split_seed, pairs in paired.groupby("seed"):
        difference = (pairs["gain"] - pairs["gain_baseline"]).to_numpy()
        lower, upper = _interval(difference, seed)
        rows.append(
            {
                "metric": metric,
                "family": own["family"].iloc[0],
                "seed": split_seed,
                "baseline": best,
                "predictor_score": pairs["value"].mean(),
                "baseline_score": pairs["value_baseline"].mean(),
                "difference": difference.mean(),
                "lower": lower,
                "upper": upper,
                "n_perturbations": len(pairs),
            }
        )
    return rows


def _interval(difference: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """95 % interval of the mean over perturbations; NaN where there are too few to tell."""
    if len(difference) < MIN_PERTURBATIONS:
        return math.nan, math.nan
    if np.ptp(difference) == 0:
        return float(difference[0]), float(difference[0])
    result = bootstrap(
        (difference,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=N_RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _word(differences: pd.DataFrame) -> Word:
    decided = _decided(differences)
    if all((decided.loc[decided["family"] == family, "won"]).any() for family in FAMILIES):
        return "better"
    return "worse" if decided["lost"].any() and not decided["won"].any() else "on par"


def _decided(differences: pd.DataFrame) -> pd.DataFrame:
    """Tell of each metric whether it was won, or lost, in enough seeds."""
    if differences.empty:
        return pd.DataFrame({"metric": [], "family": [], "won": [], "lost": []}).astype(
            {"won": bool, "lost": bool}
        )
    n_seeds = differences["seed"].nunique()
    n_needed = math.ceil(MIN_SHARE_OF_SEEDS * n_seeds)
    counted = differences.assign(won=differences["lower"] > 0, lost=differences["upper"] < 0)
    counted = counted.groupby(["metric", "family"], sort=False)[["won", "lost"]].sum()
    return (counted >= n_needed).reset_index()


def _sentence(predictor: str, word: Word, differences: pd.DataFrame) -> str:
    if differences.empty:
        return (
            f"{predictor} is on par with the baselines: no metric of effect or specificity could be "
            "compared on these held-out conditions."
        )
    n_seeds = differences["seed"].nunique()
    n_perturbations = int(differences["n_perturbations"].max())
    seeds = "1 seed" if n_seeds == 1 else f"{n_seeds} seeds"
    start = {
        "better": f"{predictor} is better than the best baseline on this split",
        "on par": f"{predictor} is on par with the baselines on this split",
        "worse": f"{predictor} is worse than the best baseline on this split",
    }[word]
    if n_perturbations < MIN_PERTURBATIONS:
        few = "1 held-out perturbation is" if n_perturbations == 1 else (
            f"{n_perturbations} held-out perturbations are"
        )  # fmt: skip
        reason = f"{few} too few for an interval, so nothing else can be claimed ({seeds})"
        return f"{start}: {reason}. {_numbers(differences)}"
    won = [row for row in _decided(differences).to_dict("records") if row["won"] or row["lost"]]
    reasons = "; ".join(f"{row['metric']} {'won' if row['won'] else 'lost'}" for row in won)
    return f"{start} ({seeds}): {reasons or 'no interval excludes 0'}. {_numbers(differences)}"


def _numbers(differences: pd.DataFrame) -> str:
    """Name the numbers of one metric of each family."""
    parts = []
    for family in FAMILIES:
        rows = differences[differences["family"] == family]
        if rows.empty:
            parts.append(f"no metric of {family} applies")
            continue
        names = rows["metric"].unique()
        shown = rows[rows["metric"] == names[min(1, len(names) - 1)]]
        mean = shown[["predictor_score", "baseline_score"]].mean()
        parts.append(
            f"{shown['metric'].iloc[0]} {mean['predictor_score']:.3f} against "
            f"{mean['baseline_score']:.3f} of {shown['baseline'].iloc[0]}"
        )
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def check_evaluated(predictor: str, names: Sequence[str]) -> None:
    """Raise if scores do not contain a predictor.

    Parameters
    ----------
    predictor
        Name that was asked for.
    names
        Names of the evaluated predictors in the scores.
    """
    if predictor not in names:
        msg = (
            f"`predictor={predictor!r}` is not among the evaluated predictors of `scores`, which are "
            f"{list(names)}. Pass one of them."
        )
        raise ValueError(msg)
