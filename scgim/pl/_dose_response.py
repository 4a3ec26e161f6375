"""Curves of effect against dose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scgim.pl import _style
from scgim.pl._tables import check_table, pick

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

SOURCE = "GIM.get_dose_response"
WIDE = 120.0
"""From this width in mm on, the legend stands beside the curves."""


def dose_response(
    response: pd.DataFrame,
    *,
    perturbations: Sequence[str] | None = None,
    nodes: Sequence[str] | None = None,
    observed: pd.DataFrame | None = None,
    max_curves: int = 6,
    dose_unit: str | None = None,
    width: float = _style.SINGLE_COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw effect against dose with its interval, and mark each EC50.

    Curves differ in colour, line style and the marker of their observations. Where the table holds
    more than ``max_curves``, those with the largest effects are drawn and the figure says so.

    Parameters
    ----------
    response
        Table of ``GIM.get_dose_response``. Its ``attrs["ec50"]``, perturbation to EC50 in the unit
        of ``dose`` (a number, or ``{"ec50", "lower", "upper"}``), places the diamonds and their
        bars; without it there are none.
    perturbations
        Perturbations to draw; all by default.
    nodes
        Nodes to draw; all by default.
    observed
        Measured effects to draw as points, with the columns ``perturbation``, ``node``, ``dose`` and
        ``effect`` in the unit of ``response``.
    max_curves
        Draw at most this many curves.
    dose_unit
        Unit of ``dose``, for the axis label.
    width
        Width of a new figure in mm; ignored when ``ax`` is given.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with a logarithmic dose axis. Dose 0 has no place on it; its effect is 0 by definition.
    """
    check_table(
        response,
        ["perturbation", "node", "dose", "effect", "lower", "upper"],
        name="response",
        source=SOURCE,
    )
    table = pick(response, perturbations, nodes)
    table = table[table["dose"] > 0].copy()
    table.attrs = {}  # pandas compares attributes with ==, which fails when they hold a table
    check_table(table, [], name="response", source=SOURCE)
    if observed is not None:
        columns = ["perturbation", "node", "dose", "effect"]
        check_table(observed, columns, name="observed", source=SOURCE)
    curves = _strongest(table, max_curves)
    if ax is None:
        beside = width >= WIDE
        ax = _style.new_axes(width, 0.5 * width if beside else 0.7 * width + 3.0 * len(curves))
    ax.axhline(0.0, color="0.6", linewidth=0.5, zorder=0)
    ec50 = _read_ec50(response)
    for index, key in enumerate(curves):
        rows = table[(table["perturbation"] == key[0]) & (table["node"] == key[1])]
        look = _Look(index, _curve_label(key, table, ec50, dose_unit))
        _draw_curve(ax, rows.sort_values("dose"), look, ec50.get(key[0]))
        if observed is not None:
            _draw_points(ax, observed, key, look)
    ax.set_xscale("log")
    unit = f" ({dose_unit})" if dose_unit else ""
    _style.style_axes(ax, xlabel=f"dose{unit}", ylabel="effect (control s.d.)")
    n_all = table.groupby(["perturbation", "node"], observed=True).ngroups
    title = f"strongest {len(curves)} of {n_all} curves" if n_all > len(curves) else None
    _add_legend(ax, title)
    return ax


class _Look:
    """Colour, line style and marker of one curve."""

    def __init__(self, index: int, label: str) -> None:
        self.label = label
        self.colour = _style.PALETTE[index % len(_style.PALETTE)]
        self.line_style = _style.LINE_STYLES[index % len(_style.LINE_STYLES)]
        self.marker = _style.MARKERS[index % len(_style.MARKERS)]


def _strongest(table: pd.DataFrame, max_curves: int) -> list[tuple[str, str]]:
    """Name the curves with the largest absolute effects, in order of the table."""
    if max_curves < 1:
        msg = f"`max_curves={max_curves!r}` leaves nothing to draw. Pass at least 1."
        raise ValueError(msg)
    size = table["effect"].abs().groupby([table["perturbation"], table["node"]], sort=False).max()
    size = size.dropna()
    chosen = set(size.nlargest(max_curves).index)
    return [key for key in size.index if key in chosen]


class _EC50(NamedTuple):
    """Half-maximal dose with its interval; NaN where there is none."""

    value: float
    lower: float = np.nan
    upper: float = np.nan


def _read_ec50(response: pd.DataFrame) -> dict[str, _EC50]:
    """Return EC50 by perturbation from the table's attributes: numbers, or with an interval."""
    return {
        str(name): _EC50(found["ec50"], found["lower"], found["upper"])
        if isinstance(found, Mapping)
        else _EC50(float(found))
        for name, found in response.attrs.get("ec50", {}).items()
    }


def _curve_label(
    key: tuple[str, str], table: pd.DataFrame, ec50: dict[str, _EC50], dose_unit: str | None
) -> str:
    """Name what differs between the curves, with the EC50."""
    varies = [len(table[column].unique()) > 1 for column in ("perturbation", "node")]
    names = [name for name, shown in zip(key, varies, strict=True) if shown] or [" · ".join(key)]
    found = ec50.get(key[0])
    half = "" if found is None else f" (EC50 {found.value:.2g} {dose_unit or ''}".rstrip() + ")"
    return " · ".join(names) + half


def _draw_curve(ax: Axes, rows: pd.DataFrame, look: _Look, ec50: _EC50 | None) -> None:
    dose, effect = rows["dose"].to_numpy(dtype=float), rows["effect"].to_numpy(dtype=float)
    lower, upper = rows["lower"].to_numpy(dtype=float), rows["upper"].to_numpy(dtype=float)
    ax.fill_between(dose, lower, upper, color=look.colour, alpha=0.15, linewidth=0)
    ax.plot(dose, effect, color=look.colour, ls=look.line_style, linewidth=1.1, label=look.label)
    if ec50 is None or not dose[0] <= ec50.value <= dose[-1]:
        return
    height = float(np.interp(np.log10(ec50.value), np.log10(dose), effect))
    ax.plot([ec50.value] * 2, [0.0, height], color=look.colour, ls=":", linewidth=0.7)
    inside = np.clip([ec50.lower, ec50.upper], dose[0], dose[-1])
    ax.plot(inside, [height, height], color=look.colour, marker="|", markersize=4, linewidth=0.9)
    ax.plot(
        ec50.value,
        height,
        marker="D",
        markersize=4,
        markerfacecolor="white",
        markeredgecolor=look.colour,
        markeredgewidth=0.9,
        zorder=4,
    )


def _draw_points(ax: Axes, observed: pd.DataFrame, key: tuple[str, str], look: _Look) -> None:
    of_curve = (observed["perturbation"] == key[0]) & (observed["node"] == key[1])
    rows = observed[of_curve & (observed["dose"] > 0)]
    ax.scatter(
        rows["dose"],
        rows["effect"],
        s=10,
        marker=look.marker,
        color=look.colour,
        linewidths=0,
        zorder=3,
    )


def _add_legend(ax: Axes, title: str | None) -> None:
    points = WIDE / _style.MM_PER_INCH * _style.POINTS_PER_INCH
    beside = _style.axes_size(ax)[0] > 0.7 * points
    legend = ax.legend(
        loc="upper left" if beside else "lower left",
        bbox_to_anchor=(1.0, 1.0) if beside else (0.0, 1.0),
        borderaxespad=0.2,
        frameon=False,
        fontsize=_style.SMALL_FONT_SIZE,
        handlelength=2.6,
        title=title,
        alignment="left",
    )
    legend.get_title().set_fontsize(_style.SMALL_FONT_SIZE)
