"""How the training went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scgim._messages import closest
from scgim.pl import _style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

DEFAULT_METRICS = ("elbo_train", "elbo_validation")


def training_history(
    history: Mapping[str, pd.DataFrame],
    *,
    metrics: Sequence[str] | None = None,
    label: str | None = None,
    width: float = _style.SINGLE_COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw logged metrics against the epoch, or the climbs of a structure search.

    Parameters
    ----------
    history
        ``model.history``: name of a metric to a DataFrame with one column, indexed by epoch.
    metrics
        Metrics to draw on one scale; ``elbo_train`` and ``elbo_validation`` by default.
    label
        Label of the vertical axis; by default the names of the metrics stand in the legend only.
    width
        Width of a new figure in mm; ignored when ``ax`` is given.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with one line per metric. A diamond marks the last epoch of each.
    """
    if not history:
        msg = "`history` is empty, so there is nothing to draw. Call `GIM.train` first."
        raise RuntimeError(msg)
    if metrics is None:
        metrics = [name for name in DEFAULT_METRICS if name in history] or [next(iter(history))]
    for name in metrics:
        if name not in history:
            msg = (
                f"`metrics` contains {name!r}, which was not logged. The closest are "
                f"{closest(name, history)}."
            )
            raise ValueError(msg)
    if ax is None:
        ax = _style.new_axes(width, 0.6 * width if width < 120 else 0.4 * width)
    for index, name in enumerate(metrics):
        values = pd.DataFrame(history[name]).iloc[:, 0].astype(float).dropna()
        ax.plot(
            values.index,
            values,
            color=_style.PALETTE[index % len(_style.PALETTE)],
            linestyle=_style.LINE_STYLES[index % len(_style.LINE_STYLES)],
            linewidth=1.0,
            marker="D",
            markersize=2.5,
            markevery=[-1] if len(values) > 1 else None,
            label=name,
        )
    _style.style_axes(ax, xlabel=_index_name(history, metrics), ylabel=label)
    ax.legend(frameon=False, fontsize=_style.SMALL_FONT_SIZE, handlelength=2.6)
    return ax


def _index_name(history: Mapping[str, pd.DataFrame], metrics: Sequence[str]) -> str:
    return str(pd.DataFrame(history[metrics[0]]).index.name or "epoch")
