"""The figures that World P is judged by: what is measured, and the bars it has to clear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

R2 = "R2 of the mean shift"
ENERGY = "normalised energy distance"
COVERAGE = "coverage of the 80 % interval"
COVERAGE_ALL = "coverage of the 80 % interval, all genes"
ABSTAINED = "share of the conditions it abstains from"
EFFECT_OF_FEATURES = "R2 lost with shuffled features"
VARIANCE_RATIO = "variance between drugs, predicted over true"
TARGET_AP = "target average precision"
GRAPH_AP = "graph average precision"
MCC = "mean correlation of nodes"
GAUGE_DRIFT = "largest change of a log-rate through fix_gauge"
DOSE_ZERO = "largest difference between dose 0 and control"
EC50 = "Spearman correlation of EC50"
FEATURE_USE = "feature-use share"
SECONDS = "seconds to fit"
SECONDS_AFTER = "seconds after training"

GIM_NAME = "GIM"
SHUFFLED_NAME = "GIM, features shuffled"


@dataclass(frozen=True)
class Figure:
    """One number of the table and what is asked of it.

    Attributes
    ----------
    label
        How the table calls it.
    metric
        Metric in the scores.
    split
        Split in the scores.
    predictor
        Whose score it is.
    over
        Predictor whose score divides it, ``None`` for the score itself.
    bar
        Range that has to be reached.
    moonshot
        Range that is hoped for, ``None`` where none was set.
    """

    label: str
    metric: str
    split: str
    predictor: str = GIM_NAME
    over: str | None = None
    bar: tuple[float, float] = (-math.inf, math.inf)
    moonshot: tuple[float, float] | None = None

    def by_seed(self, scores: pd.DataFrame) -> pd.Series:
        """Pick the values of this figure.

        Parameters
        ----------
        scores
            Tidy scores with the columns ``seed``, ``predictor``, ``split``, ``metric``, ``value``.

        Returns
        -------
        Value of each seed; a ratio of means over seeds is :meth:`mean`.
        """
        own = self._pick(scores, self.predictor)
        return own if self.over is None else own / self._pick(scores, self.over)

    def mean(self, scores: pd.DataFrame) -> float:
        """Average over seeds; a ratio is that of the averages.

        Parameters
        ----------
        scores
            Tidy scores, as for :meth:`by_seed`.

        Returns
        -------
        The figure.
        """
        own = self._pick(scores, self.predictor).mean()
        return float(own if self.over is None else own / self._pick(scores, self.over).mean())

    def _pick(self, scores: pd.DataFrame, predictor: str) -> pd.Series:
        is_wanted = (
            (scores["predictor"] == predictor)
            & (scores["metric"] == self.metric)
            & (scores["split"] == self.split)
        )
        return scores[is_wanted].set_index("seed")["value"]


def _at_least(value: float) -> tuple[float, float]:
    return (value, math.inf)


def _at_most(value: float) -> tuple[float, float]:
    return (-math.inf, value)


PROGRAMS_FIGURES = (
    Figure(
        "R², interior dose", R2, "interior_dose", bar=_at_least(0.96), moonshot=_at_least(0.985)
    ),
    Figure("R², top dose", R2, "top_dose", bar=_at_least(0.94), moonshot=_at_least(0.985)),
    Figure("R², unseen drug", R2, "unseen_drug", bar=_at_least(0.95), moonshot=_at_least(0.98)),
    Figure(
        "R², sum of two classes", R2, "unseen_sum", bar=_at_least(0.90), moonshot=_at_least(0.98)
    ),
    Figure("R², unseen class", R2, "unseen_class"),
    Figure("energy distance, interior dose", ENERGY, "interior_dose"),
    Figure("energy distance, top dose", ENERGY, "top_dose"),
    Figure(
        "energy distance, unseen drug",
        ENERGY,
        "unseen_drug",
        bar=_at_most(0.05),
        moonshot=_at_most(0.015),
    ),
    Figure(
        "energy distance, sum of two classes",
        ENERGY,
        "unseen_sum",
        bar=_at_most(0.08),
        moonshot=_at_most(0.02),
    ),
    Figure("energy distance, unseen class", ENERGY, "unseen_class"),
    Figure(
        "energy distance of unseen drugs / MLP ensemble",
        ENERGY,
        "unseen_drug",
        over="MLP ensemble",
        bar=_at_most(0.6),
        moonshot=_at_most(0.2),
    ),
    Figure(
        "energy distance of unseen drugs / generator on PCA",
        ENERGY,
        "unseen_drug",
        over="generator on PCA",
        bar=_at_most(1.0),
        moonshot=_at_most(0.4),
    ),
    Figure(
        "80 % intervals cover, unseen drug",
        COVERAGE,
        "unseen_drug",
        bar=(0.70, 0.92),
        moonshot=(0.77, 0.83),
    ),
    Figure(
        "80 % intervals cover, sum of two classes",
        COVERAGE,
        "unseen_sum",
        bar=(0.65, 0.95),
        moonshot=(0.77, 0.83),
    ),
    Figure("80 % intervals cover, unseen class", COVERAGE, "unseen_class"),
    Figure("abstains from unseen drugs", ABSTAINED, "unseen_drug"),
    Figure("abstains from sums of two classes", ABSTAINED, "unseen_sum"),
    Figure("abstains from an unseen class", ABSTAINED, "unseen_class"),
    Figure(
        "target average precision, training drugs",
        TARGET_AP,
        "training",
        bar=_at_least(0.95),
        moonshot=_at_least(0.99),
    ),
    Figure(
        "target average precision, unseen drugs",
        TARGET_AP,
        "unseen_drug",
        bar=_at_least(0.92),
        moonshot=_at_least(0.99),
    ),
    Figure("target average precision, sums of two classes", TARGET_AP, "unseen_sum"),
    Figure("graph average precision", GRAPH_AP, "", bar=_at_least(0.88), moonshot=_at_least(0.97)),
    Figure("mean correlation of nodes", MCC, ""),
    Figure(
        "largest change of a log-rate through fix_gauge",
        GAUGE_DRIFT,
        "",
        bar=_at_most(1e-4),
        moonshot=_at_most(1e-5),
    ),
    Figure("dose 0 against control", DOSE_ZERO, "", bar=_at_most(0.0)),
    Figure(
        "EC50 of seen drugs, Spearman",
        EC50,
        "training",
        bar=_at_least(0.8),
        moonshot=_at_least(0.95),
    ),
    Figure("feature-use share", FEATURE_USE, ""),
    Figure(
        "features shuffled: R², unseen drug",
        R2,
        "unseen_drug",
        predictor=SHUFFLED_NAME,
        bar=_at_most(0.1),
    ),
    Figure(
        "features shuffled: feature-use share",
        FEATURE_USE,
        "",
        predictor=SHUFFLED_NAME,
        bar=_at_most(0.3),
    ),
    Figure("seconds to fit", SECONDS, ""),
    Figure(
        "seconds after training",
        SECONDS_AFTER,
        "",
        bar=_at_most(40.0),
        moonshot=_at_most(5.0),
    ),
)


def summarize(scores: pd.DataFrame, figures: Iterable[Figure], *, with_bars: bool) -> pd.DataFrame:
    """Average figures over seeds and put their bars beside them.

    Parameters
    ----------
    scores
        Tidy scores with the columns ``seed``, ``predictor``, ``split``, ``metric`` and ``value``.
    figures
        What to list.
    with_bars
        Whether bars apply; they were set for the linear scenario.

    Returns
    -------
    One row per figure that was measured: ``figure``, ``mean``, ``sd``, ``worst``, ``n_seeds``,
    ``bar``, ``moonshot`` and ``reached`` ("moonshot", "bar", "missed", or "" without a bar).
    """
    rows = [_summarize_one(scores, figure, with_bars=with_bars) for figure in figures]
    return pd.DataFrame([row for row in rows if row is not None])


def figures_table(title: str, figures: pd.DataFrame) -> Table:
    """Lay out figures for the terminal; those that missed their bar are red.

    Parameters
    ----------
    title
        Title of the table.
    figures
        Table of :func:`summarize`, perhaps with a column ``features``.

    Returns
    -------
    The table.
    """
    table = Table(title=title, title_justify="left")
    texts = [name for name in ("features", "figure") if name in figures]
    judged = [name for name in ("bar", "moonshot", "reached") if (figures[name] != "").any()]
    for name in texts:
        table.add_column(name)
    for name in ("mean ± sd", "worst", *judged):
        table.add_column(name, justify="right")
    for row in figures.to_dict("records"):
        spread = "" if math.isnan(row["sd"]) else f" ± {row['sd']:.2g}"
        numbers = (f"{row['mean']:.3g}{spread}", f"{row['worst']:.3g}")
        style = "red" if row["reached"] == "missed" else None
        table.add_row(
            *(row[name] for name in texts), *numbers, *(row[name] for name in judged), style=style
        )
    return table


def _summarize_one(
    scores: pd.DataFrame, figure: Figure, *, with_bars: bool
) -> dict[str, object] | None:
    values = figure.by_seed(scores).dropna()
    if values.empty:
        return None
    mean = figure.mean(scores)
    has_bar = with_bars and figure.bar != (-math.inf, math.inf)
    return {
        "figure": figure.label,
        "mean": mean,
        "sd": float(values.std()) if len(values) > 1 else math.nan,
        "worst": float(values.max() if math.isinf(figure.bar[0]) else values.min()),
        "n_seeds": len(values),
        "bar": _describe(figure.bar) if has_bar else "",
        "moonshot": _describe(figure.moonshot) if has_bar and figure.moonshot else "",
        "reached": _reached(mean, figure) if has_bar else "",
    }


def _reached(mean: float, figure: Figure) -> str:
    if figure.moonshot and figure.moonshot[0] <= mean <= figure.moonshot[1]:
        return "moonshot"
    return "bar" if figure.bar[0] <= mean <= figure.bar[1] else "missed"


def _describe(interval: tuple[float, float]) -> str:
    low, high = interval
    if math.isinf(low):
        return f"≤ {high:g}"
    return f"≥ {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
