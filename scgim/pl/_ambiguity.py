"""How many target calls depend on the choice among near-tied bases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from scgim.pl import _style
from scgim.pl._tables import check_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SIDES = ("node", "perturbation")
DOUBTFUL: dict[str, Any] = {
    "facecolor": "white",
    "edgecolor": _style.PALETTE[1],
    "hatch": "//////",
}


def ambiguity(
    targets: pd.DataFrame,
    *,
    by: Literal["node", "perturbation"] = "node",
    width: float = _style.SINGLE_COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Count the targets of each node, and those that are ambiguous.

    A target call is ambiguous when bases that fit nearly equally well disagree on it.

    Parameters
    ----------
    targets
        Table of ``GIM.get_intervention_targets``.
    by
        ``"node"`` draws one bar per node, ``"perturbation"`` one per perturbation.
    width
        Width of a new figure in mm; ignored when ``ax`` is given.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Its first bars count the certain targets, the hatched ones the ambiguous targets.

    See Also
    --------
    intervention_targets : Which targets are ambiguous.
    """
    if by not in SIDES:
        msg = f"`by={by!r}` is not one of {list(SIDES)}. Pass one of them."
        raise ValueError(msg)
    check_table(
        targets,
        [by, "is_target", "ambiguous"],
        name="targets",
        source="GIM.get_intervention_targets",
    )
    is_target, unsure = targets["is_target"].astype(bool), targets["ambiguous"].astype(bool)
    certain = (is_target & ~unsure).groupby(targets[by], sort=False, observed=True).sum()
    doubtful = (is_target & unsure).groupby(targets[by], sort=False, observed=True).sum()
    if ax is None:
        ax = _style.new_axes(width, max(35.0, 3.2 * len(certain) + 18.0))
    rows = np.arange(len(certain))
    ax.barh(rows, certain, height=0.7, color=_style.PALETTE[0])
    # A bar of no width would still draw its edge.
    edges = np.where(doubtful > 0, 0.6, 0.0).tolist()
    ax.barh(rows, doubtful, left=certain, height=0.7, linewidth=edges, **DOUBTFUL)
    n_targets = int(is_target.sum())
    _style.style_axes(ax, xlabel=f"targets ({int(doubtful.sum())} of {n_targets} ambiguous)")
    size = _style.fitting_font_size(_style.axes_size(ax)[1] / len(certain))
    ax.set_yticks(rows if size else [], certain.index if size else [], fontsize=size)
    if size is None:
        ax.set_ylabel(f"{len(certain)} {by}s", fontsize=_style.FONT_SIZE)
    ax.set_ylim(len(certain) - 0.4, -0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(
        handles=[
            Patch(color=_style.PALETTE[0], label="certain"),
            Patch(linewidth=0.6, label="ambiguous", **DOUBTFUL),
        ],
        frameon=False,
        fontsize=_style.SMALL_FONT_SIZE,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=2,
        borderaxespad=0.1,
    )
    return ax
