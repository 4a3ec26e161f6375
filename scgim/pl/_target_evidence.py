"""How sure the targets are, and how many of them are expected to be false."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator

from scgim.pl import _style
from scgim.pl._tables import check_known, check_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of false targets that the upper axis marks."""
CLOSEST_MARKS = 0.08
"""Marks that are closer than this share of the axis are left out."""


def target_evidence(
    targets: pd.DataFrame,
    *,
    mock: Sequence[str] = (),
    width: float = _style.SINGLE_COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Rank all pairs of perturbation and node by evidence, and mark how many are expected to be false.

    The upper axis is the false discovery rate *if the model holds*: the mean of 1 - ``probability``
    over a pair and all above it. It knows nothing of what the model gets wrong, such as a node that
    was left out.

    Mock perturbations, control cells under a label of their own, test the model against cells without
    any effect. They say how often *no effect* is taken for a target; they do not say how often a node
    that only follows is, so this is no false discovery rate of targets.

    Parameters
    ----------
    targets
        Table of ``GIM.get_intervention_targets``.
    mock
        Perturbations of the table that are control cells under another label.
    width
        Width of a new figure in mm; ignored when ``ax`` is given.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Its collections are the pairs that are no targets, the certain and the ambiguous targets.

    See Also
    --------
    intervention_targets : Which pairs they are.
    """
    columns = ["perturbation", "node", "probability", "evidence", "is_target", "ambiguous"]
    check_table(targets, columns, name="targets", source="GIM.get_intervention_targets")
    check_known(mock, list(targets["perturbation"].unique()), name="mock")
    is_mock = targets["perturbation"].isin(list(mock))
    ranked = targets[~is_mock].sort_values("evidence", ascending=False, kind="stable")
    check_table(ranked, [], name="targets", source="GIM.get_intervention_targets")
    rank = np.arange(1, len(ranked) + 1)
    if ax is None:
        ax = _style.new_axes(width, min(0.75 * width, 90.0))
    _draw_pairs(ax, rank, ranked)
    if is_mock.any():
        _draw_mock(ax, targets[is_mock])
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1.0)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylim(bottom=min(0.0, float(ranked["evidence"].min())))
    _style.style_axes(ax, xlabel="rank of perturbation and node", ylabel="evidence")
    _draw_false_discovery(ax, expected_false_share(ranked["probability"].to_numpy(dtype=float)))
    ax.legend(frameon=False, fontsize=_style.SMALL_FONT_SIZE, loc="lower left", handletextpad=0.3)
    return ax


def expected_false_share(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the false discovery rate that probabilities imply, for each pair and all above it.

    Parameters
    ----------
    probability
        Probability of each pair to be a target, best pair first.

    Returns
    -------
    Expected share of false targets if this pair and all above it are called; it never falls.
    """
    share = np.cumsum(1.0 - probability) / np.arange(1, len(probability) + 1)
    return np.minimum.accumulate(share[::-1])[::-1]


def _draw_pairs(ax: Axes, rank: NDArray[np.int64], ranked: pd.DataFrame) -> None:
    is_target, unsure = (ranked[flag].to_numpy(dtype=bool) for flag in ("is_target", "ambiguous"))
    evidence = ranked["evidence"].to_numpy(dtype=float)
    looks: dict[str, tuple[NDArray[np.bool_], dict[str, Any]]] = {
        "not a target": (~is_target, {"color": "0.65", "marker": ".", "s": 6}),
        "target": (is_target & ~unsure, {"color": _style.PALETTE[0], "marker": "o", "s": 9}),
        "ambiguous target": (
            is_target & unsure,
            {"facecolors": "white", "edgecolors": _style.PALETTE[1], "marker": "s", "s": 11},
        ),
    }
    for label, (rows, look) in looks.items():
        if not rows.any():
            continue
        ax.scatter(
            rank[rows],
            evidence[rows],
            linewidths=0.8 if "edgecolors" in look else 0.0,
            label=f"{label} ({int(rows.sum())})",
            zorder=3,
            **look,
        )


def _draw_mock(ax: Axes, mock: pd.DataFrame) -> None:
    """Draw the strongest evidence among cells without an effect, and count the calls among them."""
    n_calls = int(mock["is_target"].sum())
    ax.axhline(
        float(mock["evidence"].max()),
        color=_style.PALETTE[2],
        linestyle="--",
        linewidth=0.8,
        label=f"strongest of mock perturbations\n({n_calls} of {len(mock)} called)",
        zorder=1,
    )


def _draw_false_discovery(ax: Axes, share: NDArray[np.float64]) -> None:
    """Mark on the upper axis how far down the ranking each share of false targets reaches."""
    ends: dict[int, float] = {}
    for level in LEVELS:
        count = int((share <= level).sum())
        last = max(ends, default=0)
        has_room = not last or np.log(count / last) >= CLOSEST_MARKS * np.log(len(share))
        if 0 < count < len(share) and has_room:
            ends[count] = level
            ax.axvline(count, color="0.85", linewidth=0.5, zorder=0)
    top = ax.secondary_xaxis("top")
    top.xaxis.set_major_locator(FixedLocator([float(count) for count in ends]))
    top.xaxis.set_minor_locator(NullLocator())
    top.set_xticklabels([f"{level:.0%}" for level in ends.values()])
    top.tick_params(labelsize=_style.SMALL_FONT_SIZE, width=0.5, length=2.5, pad=1)
    top.spines["top"].set_linewidth(0.5)
    top.set_xlabel("false discovery rate, if the model holds", fontsize=_style.FONT_SIZE)
