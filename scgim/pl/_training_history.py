"""How the training went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from scgim._messages import closest
from scgim.pl import _style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


class _Trained(Protocol):
    """A model, or anything else that remembers its training."""

    history: Any


DEFAULT_METRICS = ("elbo_train", "elbo_validation")


def training_history(
    history: Mapping[str, pd.DataFrame] | _Trained,
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
        A model, or its ``model.history``: name of a metric to a DataFrame with one column, indexed by
        epoch.
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

    Raises
    ------
    RuntimeError
        When the model is not trained.
    TypeError
        For neither a model nor a history.
    ValueError
        For a metric that was not logged.
    """
    history = _history_of(history)
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


def _history_of(given: Mapping[str, pd.DataFrame] | _Trained) -> Mapping[str, pd.DataFrame]:
    history = getattr(given, "history", given) or {}
    if not isinstance(history, Mapping):
        msg = (
            f"`history` is of type {type(given).__name__!r}, which remembers no training. Pass a trained "
            "`scgim.model.GIM`, or its `history`."
        )
        raise TypeError(msg)
    return history


def _index_name(history: Mapping[str, pd.DataFrame], metrics: Sequence[str]) -> str:
    return str(pd.DataFrame(history[metrics[0]]).index.name or "epoch")
