"""How much of each effect is mechanism, as stacked bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim.pl import _style
from scgim.pl._tables import check_known, check_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

LABELS = {
    "mechanism": "programs, through the graph",
    "direct": "direct effects on genes",
    "unexplained": "not explained",
}
COLOURS = dict(zip(LABELS, (*_style.PALETTE[:2], "#D9D9D9"), strict=True))
ROW_HEIGHT = 3.6
"""Height in mm of a bar in a figure made here."""


def mechanism_share(
    shares: pd.DataFrame,
    *,
    perturbations: Sequence[str] | None = None,
    width: float = _style.SINGLE_COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw what programs and direct effects on genes explain of each perturbation's effect.

    A line is the 80 % interval of the share of the programs. Perturbations without a measurable effect
    have no bar.

    Parameters
    ----------
    shares
        Table of ``GIM.get_mechanism_share``, one row per perturbation.
    perturbations
        Perturbations to draw, from top to bottom; by default all, most mechanism first.
    width
        Width of a new figure in mm; ignored when ``ax`` is given.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes.
    """
    columns = ["perturbation", *LABELS, "mechanism_lower", "mechanism_upper"]
    check_table(shares, columns, name="shares", source="GIM.get_mechanism_share")
    table = shares.set_index("perturbation")
    if perturbations is None:
        table = table.sort_values("mechanism", ascending=False, na_position="last")
    else:
        check_known(perturbations, list(table.index), name="perturbations")
        table = table.loc[list(perturbations)]
    if ax is None:
        ax = _style.new_axes(width, max(40.0, len(table) * ROW_HEIGHT + 22.0))
    place = np.arange(len(table))
    start = np.zeros(len(table))
    for part, label in LABELS.items():
        share = table[part].fillna(0.0).to_numpy(float)
        ax.barh(place, share, left=start, height=0.8, color=COLOURS[part], label=label)
        start += share
    ax.hlines(place, table["mechanism_lower"], table["mechanism_upper"], color="black", lw=0.8)
    for row in np.flatnonzero(table["mechanism"].isna()).tolist():
        ax.text(0.01, row, "no measurable effect", va="center", fontsize=_style.MIN_FONT_SIZE)
    ax.set_yticks(place, table.index)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlim(0, 1)
    _style.style_axes(ax, xlabel="share of the measured effect")
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        fontsize=_style.SMALL_FONT_SIZE,
        frameon=False,
        handlelength=1.2,
    )
    return ax
