"""The figures that World C is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgim.benchmark._figures import (
    ABSTAINED,
    COVERAGE,
    COVERAGE_ALL,
    EFFECT_OF_FEATURES,
    ENERGY,
    FEATURE_USE,
    GIM_NAME,
    R2,
    SECONDS,
    SHUFFLED_NAME,
    VARIANCE_RATIO,
    Figure,
    read_bars,
    set_bars,
    summarize,
)

if TYPE_CHECKING:
    import pandas as pd

CLASS_ORACLE, FEATURE_CEILING = "class oracle", "feature ceiling"
AGAINST_BEST = "energy distance / best of the others"
NOT_BASELINES = (GIM_NAME, SHUFFLED_NAME, CLASS_ORACLE, FEATURE_CEILING, "replicate ceiling")


def chemistry_figures(scores: pd.DataFrame, split: str, features: str) -> pd.DataFrame:
    """Average figures over seeds, with the bars of the random split beside them.

    Parameters
    ----------
    scores
        Scores of one kind of features.
    split
        Kind of split.
    features
        Kind of features.

    Returns
    -------
    As :func:`~scgim.benchmark._figures.summarize`.
    """
    keys = ["seed", "predictor", "split", "metric"]
    by_seed = scores.groupby(keys, sort=False)["value"].mean().reset_index()
    figures = [
        Figure(f"R², {features}", R2, split),
        Figure("R², class oracle", R2, split, predictor=CLASS_ORACLE),
        Figure("R², what these features allow", R2, split, predictor=FEATURE_CEILING),
        Figure("energy distance", ENERGY, split),
        *_against_baselines(by_seed, split),
        Figure("80 % intervals cover, genes that move most", COVERAGE, split),
        Figure("80 % intervals cover, all genes", COVERAGE_ALL, split),
        Figure("abstains from", ABSTAINED, split),
        Figure("R² lost with shuffled features", EFFECT_OF_FEATURES, split),
        Figure("variance between drugs, predicted over true", VARIANCE_RATIO, split),
        Figure("feature-use share", FEATURE_USE, split),
        Figure("features shuffled: R²", R2, split, predictor=SHUFFLED_NAME),
        Figure("seconds to fit", SECONDS, ""),
    ]
    return summarize(by_seed, set_bars("chemistry", figures), with_bars=split == "random")


def best_baseline(scores: pd.DataFrame, metric: str) -> str | None:
    """Name the baseline that is best on average, the generator without a causal model among them.

    Parameters
    ----------
    scores
        Tidy scores.
    metric
        R² or energy distance.

    Returns
    -------
    Its name, ``None`` if there is none.
    """
    rows = scores[(scores["metric"] == metric) & ~scores["predictor"].isin(NOT_BASELINES)]
    means = rows.groupby("predictor")["value"].mean()
    if means.empty:
        return None
    return str(means.idxmax() if metric == R2 else means.idxmin())


def _against_baselines(scores: pd.DataFrame, split: str) -> list[Figure]:
    name = best_baseline(scores, ENERGY)
    if name is None:
        return []
    label = f"energy distance / {name}, the best of the others"
    bar = read_bars("chemistry")[AGAINST_BEST].bar
    return [Figure(label, ENERGY, split, over=name, bar=bar)]
