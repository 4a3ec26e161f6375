"""Figures of an evaluation, from its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from scgim.metrics import risk_coverage as compute_risk_coverage
from scgim.pl import _style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ROW_HEIGHT = 9.0
"""Height of a row of intervals in mm."""


def paired_differences(
    differences: pd.DataFrame, *, width: float = _style.DOUBLE_COLUMN, ax: Axes | None = None
) -> Axes:
    """Draw how much better or worse a predictor is than the best baseline, metric by metric.

    Units differ between metrics, so each row is scaled to its largest interval; the numbers stand at its
    end. Filled marks: the interval excludes 0.

    Parameters
    ----------
    differences
        Table of :func:`scgim.evaluation.judge`: ``metric``, ``seed``, ``baseline``, ``difference``,
        ``lower`` and ``upper``.
    width
        Width of a new figure in mm; ignored when ``ax`` is given.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with one row per metric and one mark per seed.
    """
    metrics = list(dict.fromkeys(differences["metric"]))
    seeds = sorted(differences["seed"].unique())
    if ax is None:
        ax = _style.new_axes(width, 18.0 + ROW_HEIGHT * max(len(metrics), 1))
    for row, metric in enumerate(metrics):
        rows = differences[differences["metric"] == metric]
        ends = np.abs(rows[["difference", "lower", "upper"]].to_numpy(dtype=float))
        scale = float(np.nanmax(ends)) or 1.0
        for _, one in rows.iterrows():
            index = seeds.index(one["seed"])
            y = row + 0.6 * ((index + 0.5) / len(seeds) - 0.5)
            _draw_interval(ax, one, y, scale, index)
        mean = rows["difference"].mean()
        ax.text(1.08, row, f"{mean:+.3f} vs {rows['baseline'].iloc[0]}", va="center",
                fontsize=_style.SMALL_FONT_SIZE)  # fmt: skip
    ax.axvline(0.0, color="0.3", linewidth=0.6, linestyle="--", zorder=0)
    ax.set_yticks(range(len(metrics)), metrics)
    ax.set_ylim(len(metrics) - 0.5, -0.5)
    ax.set_xlim(-1.1, 1.9)
    ax.set_xticks([-1, 0, 1], ["worse", "equal", "better"])
    _style.style_axes(ax)
    # centred below "equal", since right of the rows there is room for numbers only
    label = "paired difference to the best baseline, scaled per row"
    ax.set_xlabel(label, fontsize=_style.FONT_SIZE, x=1.1 / 3.0)
    if len(seeds) > 1:
        marks = [
            Line2D([], [], **_mark(index), linestyle="none", label=f"seed {seed}")
            for index, seed in enumerate(seeds)
        ]
        _legend(ax, handles=marks, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(marks))
    return ax


def interval_coverage(
    coverage: pd.DataFrame, *, width: float = _style.SINGLE_COLUMN, ax: Axes | None = None
) -> Axes:
    """Draw how often intervals cover the truth against how often they should.

    Parameters
    ----------
    coverage
        Columns ``level`` and ``coverage``, and ``seed``, of which each gets a line.
    width
        Width of a new figure in mm; ignored when ``ax`` is given.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with the diagonal of honest intervals.
    """
    if ax is None:
        ax = _style.new_axes(width, width)
    ax.plot([0, 1], [0, 1], color="0.3", linewidth=0.6, linestyle="--", zorder=0)
    for index, (seed, rows) in enumerate(coverage.groupby("seed", sort=False)):
        ordered = rows.sort_values("level")
        _draw_line(ax, ordered["level"], ordered["coverage"], index, f"seed {seed}")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    _style.style_axes(ax, xlabel="level of the interval", ylabel="share of true shifts inside")
    _legend(ax)
    return ax


def risk_coverage(
    errors: pd.DataFrame,
    *,
    label: str = "mean error",
    width: float = _style.SINGLE_COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean error of the surest predictions against the share of predictions kept.

    A line that rises to the right says that stated uncertainty knows where errors are.

    Parameters
    ----------
    errors
        One row per condition: ``error``, ``uncertainty`` and ``seed``.
    label
        What the error is.
    width
        Width of a new figure in mm; ignored when ``ax`` is given.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with one line per seed.
    """
    if ax is None:
        ax = _style.new_axes(width, 0.8 * width)
    for index, (seed, rows) in enumerate(errors.groupby("seed")):
        curve = compute_risk_coverage(rows["error"], rows["uncertainty"])
        _draw_line(ax, curve.coverage, curve.risk, index, f"seed {seed}")
    ax.set_xlim(0, 1.02)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.axhline(0.0, color="0.3", linewidth=0.6, linestyle="--", zorder=0)
    _style.style_axes(ax, xlabel="share of conditions kept, surest first", ylabel=label)
    _legend(ax)
    return ax


def score_by_stratum(
    scores: pd.DataFrame,
    *,
    label: str = "score",
    width: float = 1.4 * _style.SINGLE_COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean score of predictors in each stratum, such as a dose.

    Parameters
    ----------
    scores
        Columns ``predictor``, ``stratum`` (in the order to draw) and ``value``.
    label
        What the score is.
    width
        Width of a new figure in mm; ignored when ``ax`` is given.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with one line per predictor.
    """
    if ax is None:
        ax = _style.new_axes(width, 0.57 * width)
    strata = list(dict.fromkeys(scores["stratum"]))
    for index, predictor in enumerate(dict.fromkeys(scores["predictor"])):
        rows = scores[scores["predictor"] == predictor]
        means = rows.groupby("stratum", sort=False)["value"].mean().reindex(strata)
        _draw_line(ax, np.arange(len(strata)), means, index, str(predictor))
    ax.axhline(0.0, color="0.3", linewidth=0.6, linestyle="--", zorder=0)
    ax.set_xticks(range(len(strata)), [str(stratum) for stratum in strata])
    _style.style_axes(ax, xlabel="", ylabel=label)
    _legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _draw_interval(ax: Axes, one: pd.Series, y: float, scale: float, index: int) -> None:
    colour = _style.PALETTE[index % len(_style.PALETTE)]
    low, high = one["lower"] / scale, one["upper"] / scale
    excludes_zero = bool(low > 0 or high < 0)
    if np.isfinite(low):
        ax.plot([low, high], [y, y], color=colour, linewidth=1.0)
    mark = _mark(index) | {"markerfacecolor": colour if excludes_zero else "white"}
    ax.plot(one["difference"] / scale, y, **mark, linestyle="none")


def _mark(index: int) -> dict[str, Any]:
    """Shape and colour of a seed."""
    return {
        "marker": _style.MARKERS[index % len(_style.MARKERS)],
        "color": _style.PALETTE[index % len(_style.PALETTE)],
        "markerfacecolor": "white",
        "markersize": 3.5,
        "markeredgewidth": 0.8,
    }


def _draw_line(ax: Axes, x: object, y: object, index: int, label: str) -> None:
    ax.plot(
        np.asarray(x, dtype=float),
        np.asarray(y, dtype=float),
        color=_style.PALETTE[index % len(_style.PALETTE)],
        linestyle=_style.LINE_STYLES[index % len(_style.LINE_STYLES)],
        marker=_style.MARKERS[index % len(_style.MARKERS)],
        markersize=2.5,
        linewidth=0.9,
        label=label,
    )


def _legend(ax: Axes, **place: Any) -> None:  # noqa: ANN401 - where matplotlib is to put it
    ax.legend(frameon=False, fontsize=_style.SMALL_FONT_SIZE, handlelength=3.0, **place)
