"""The figures that World P is judged by: what is measured, and the bars it has to clear."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

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

BARS = Path(__file__).with_name("bars.json")
"""What each figure has to reach, and what is hoped for: lowest and highest value, null for no limit."""

GIM_NAME = "GIM"
SHUFFLED_NAME = "GIM, features shuffled"


Interval: TypeAlias = tuple[float, float]


class Bars(NamedTuple):
    """What a figure has to reach, and what is hoped for, if anything."""

    bar: Interval
    moonshot: Interval | None = None


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
    bar: Interval = (-math.inf, math.inf)
    moonshot: Interval | None = None

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


def read_bars(benchmark: str) -> dict[str, Bars]:
    """Read the bars that were set for a benchmark before it ran, from ``bars.json``.

    Parameters
    ----------
    benchmark
        ``"programs"`` or ``"chemistry"``.

    Returns
    -------
    The bars of each figure that has one.
    """
    document = json.loads(BARS.read_text(encoding="utf-8"))[benchmark]
    return {
        label: Bars(**{name: _read_range(ends) for name, ends in ranges.items()})
        for label, ranges in document.items()
    }


def _read_range(ends: list[float | None]) -> Interval:
    low, high = ends
    return -math.inf if low is None else low, math.inf if high is None else high


def set_bars(benchmark: str, figures: Iterable[Figure]) -> tuple[Figure, ...]:
    """Put the bars of a benchmark beside its figures.

    Parameters
    ----------
    benchmark
        As for :func:`read_bars`.
    figures
        What is measured.

    Returns
    -------
    The same figures; those without a bar as they were.
    """
    bars = read_bars(benchmark)
    return tuple(
        replace(figure, **bars[figure.label]._asdict()) if figure.label in bars else figure
        for figure in figures
    )


PROGRAMS_FIGURES = set_bars(
    "programs",
    (
        Figure("R², interior dose", R2, "interior_dose"),
        Figure("R², top dose", R2, "top_dose"),
        Figure("R², unseen drug", R2, "unseen_drug"),
        Figure("R², sum of two classes", R2, "unseen_sum"),
        Figure("R², unseen class", R2, "unseen_class"),
        Figure("energy distance, interior dose", ENERGY, "interior_dose"),
        Figure("energy distance, top dose", ENERGY, "top_dose"),
        Figure("energy distance, unseen drug", ENERGY, "unseen_drug"),
        Figure("energy distance, sum of two classes", ENERGY, "unseen_sum"),
        Figure("energy distance, unseen class", ENERGY, "unseen_class"),
        Figure(
            "energy distance of unseen drugs / MLP ensemble",
            ENERGY,
            "unseen_drug",
            over="MLP ensemble",
        ),
        Figure(
            "energy distance of unseen drugs / generator on PCA",
            ENERGY,
            "unseen_drug",
            over="generator on PCA",
        ),
        Figure("80 % intervals cover, unseen drug", COVERAGE, "unseen_drug"),
        Figure("80 % intervals cover, sum of two classes", COVERAGE, "unseen_sum"),
        Figure("80 % intervals cover, unseen class", COVERAGE, "unseen_class"),
        Figure("abstains from unseen drugs", ABSTAINED, "unseen_drug"),
        Figure("abstains from sums of two classes", ABSTAINED, "unseen_sum"),
        Figure("abstains from an unseen class", ABSTAINED, "unseen_class"),
        Figure("target average precision, training drugs", TARGET_AP, "training"),
        Figure("target average precision, unseen drugs", TARGET_AP, "unseen_drug"),
        Figure("target average precision, sums of two classes", TARGET_AP, "unseen_sum"),
        Figure("graph average precision", GRAPH_AP, ""),
        Figure("mean correlation of nodes", MCC, ""),
        Figure("largest change of a log-rate through fix_gauge", GAUGE_DRIFT, ""),
        Figure("dose 0 against control", DOSE_ZERO, ""),
        Figure("EC50 of seen drugs, Spearman", EC50, "training"),
        Figure("feature-use share", FEATURE_USE, ""),
        Figure("features shuffled: R², unseen drug", R2, "unseen_drug", predictor=SHUFFLED_NAME),
        Figure("features shuffled: feature-use share", FEATURE_USE, "", predictor=SHUFFLED_NAME),
        Figure("seconds to fit", SECONDS, ""),
        Figure("seconds after training", SECONDS_AFTER, ""),
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


def _describe(interval: Interval) -> str:
    low, high = interval
    if math.isinf(low):
        return f"≤ {high:g}"
    return f"≥ {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
