"""Scatter of predicted against observed shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim._messages import quote_some
from scgim.pl import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


def predicted_vs_observed(
    predicted: pd.DataFrame,
    observed: pd.DataFrame,
    *,
    groups: pd.Series | None = None,
    label: str = "shift of mean log1p(CP10k)",
    width: float = _style.SINGLE_COLUMN,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw predicted against observed shifts with the identity line and R².

    :math:`R^2 = 1 - \sum (\hat\Delta - \Delta)^2 / \sum \Delta^2`, so 0 is a prediction of no effect,
    and worse predictions are negative.

    Parameters
    ----------
    predicted
        Predicted shifts, conditions x genes.
    observed
        Observed shifts with the same rows and columns, in any order.
    groups
        Group of each condition, for example its split; each gets a colour, a marker and an R².
    label
        What is drawn, for the axis labels.
    width
        Width of a new figure in mm; ignored when ``ax`` is given.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with one collection per group.
    """
    _check_labels(predicted, observed)
    observed = observed.loc[predicted.index, predicted.columns]
    if groups is None:
        groups = pd.Series("", index=predicted.index)
    _check_groups(groups, predicted.index)
    groups = groups.loc[predicted.index].astype(str)
    if ax is None:
        ax = _style.new_axes(width, width)
    sizes = groups.value_counts()
    for index, group in enumerate(groups.unique()):
        rows = (groups == group).to_numpy()
        x, y = observed.to_numpy(dtype=float)[rows], predicted.to_numpy(dtype=float)[rows]
        ax.scatter(
            x.ravel(),
            y.ravel(),
            s=6 if x.size < 2000 else 3,
            marker=_style.MARKERS[index % len(_style.MARKERS)],
            color=_style.PALETTE[index % len(_style.PALETTE)],
            alpha=0.6 if x.size < 2000 else 0.35,
            linewidths=0,
            rasterized=True,
            zorder=2 - sizes[group] / len(groups),  # small groups on top of large ones
            label=f"{group}  R² = {_r_squared(y, x):.3f}".strip(),
        )
    _draw_identity(ax, predicted, observed)
    _style.style_axes(ax, xlabel=f"observed {label}", ylabel=f"predicted {label}")
    legend = ax.legend(
        loc="upper left",
        frameon=True,
        framealpha=0.85,
        edgecolor="none",
        fontsize=_style.SMALL_FONT_SIZE,
        handletextpad=0.2,
        markerscale=1.6,
    )
    for handle in filter(None, legend.legend_handles):
        handle.set_alpha(1.0)
    return ax


def _check_labels(predicted: object, observed: object) -> None:
    for name, table in (("predicted", predicted), ("observed", observed)):
        if not isinstance(table, pd.DataFrame):
            msg = (
                f"`{name}` is a {type(table).__name__}, expected a DataFrame of shifts, "
                "conditions x genes."
            )
            raise TypeError(msg)
    for axis in ("index", "columns"):
        of_predicted, of_observed = getattr(predicted, axis), getattr(observed, axis)
        if not (of_predicted.is_unique and of_observed.is_unique):
            msg = f"`predicted` and `observed` need unique {axis}, but some occur twice."
            raise ValueError(msg)
        different = of_predicted.symmetric_difference(of_observed)
        if len(different) or not len(of_predicted):
            msg = (
                f"`predicted` and `observed` differ in their {axis}: {quote_some(list(different))} "
                "occur in one only. Pass the same conditions and genes to both."
            )
            raise ValueError(msg)


def _check_groups(groups: pd.Series, conditions: pd.Index) -> None:
    missing = conditions.difference(groups.index)
    if len(missing):
        msg = f"`groups` has no entry for {quote_some(list(missing))}. Name a group for each row."
        raise ValueError(msg)


def _r_squared(predicted: NDArray[np.float64], observed: NDArray[np.float64]) -> float:
    return float(1.0 - ((predicted - observed) ** 2).sum() / (observed**2).sum())


def _draw_identity(ax: Axes, predicted: pd.DataFrame, observed: pd.DataFrame) -> None:
    values = np.concatenate([predicted.to_numpy(dtype=float), observed.to_numpy(dtype=float)])
    margin = 0.04 * float(np.ptp(values))
    ends = (float(values.min()) - margin, float(values.max()) + margin)
    ax.plot(ends, ends, color="0.3", linewidth=0.6, linestyle="--", zorder=0)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
