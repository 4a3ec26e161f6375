"""Heat map of what each perturbation does to each node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from scipy.cluster import hierarchy

from scgim.pl import _style
from scgim.pl._tables import check_table, pick, to_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

ROW_HEIGHT = 3.2
"""Height in mm of a row in a figure made here."""
GAP = 0.75
"""Space between estimate and truth, in columns."""


def intervention_targets(
    targets: pd.DataFrame,
    *,
    truth: pd.DataFrame | None = None,
    perturbations: Sequence[str] | None = None,
    nodes: Sequence[str] | None = None,
    cluster: bool = True,
    width: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the effect of each perturbation on each node and mark the intervention targets.

    A target carries the sign of its effect, ``+`` or ``-``, so that the figure can be read in black
    and white. A ring marks effects on which near-tied bases disagree.

    Parameters
    ----------
    targets
        Table of ``GIM.get_intervention_targets``, one row per perturbation x node. ``effect`` is in
        control standard deviations of the node.
    truth
        Known shifts (numbers) or known targets (booleans), perturbations x nodes, drawn beside the
        estimate on a colour scale of its own. Its nodes may have other names.
    perturbations
        Perturbations to draw; all by default.
    nodes
        Nodes to draw; all by default.
    cluster
        Order perturbations by similarity of their effects; otherwise in the order of the table.
    width
        Width of a new figure in mm; ignored when ``ax`` is given. By default one journal column, or
        two where there are many nodes.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. The heat map of the estimate is the first of its collections.

    See Also
    --------
    ambiguity : How many of the targets are ambiguous.
    """
    source = "GIM.get_intervention_targets"
    columns = ["perturbation", "node", "effect", "is_target", "ambiguous"]
    check_table(targets, columns, name="targets", source=source)
    table = pick(targets, perturbations, nodes)
    effect = to_matrix(table, "effect", name="targets").astype(float)
    if cluster:
        effect = effect.iloc[_leaf_order(effect.to_numpy())]
    is_target, ambiguous = (
        to_matrix(table, flag, name="targets").loc[effect.index].astype(bool)
        for flag in ("is_target", "ambiguous")
    )
    known = None if truth is None else _align_truth(truth, effect.index)
    if ax is None:
        ax = _open_figure(effect, known, width)
    mesh = _draw_matrix(ax, effect, is_target, start=0.0)
    _draw_rings(ax, ambiguous, mesh)
    if known is not None:
        start = effect.shape[1] + GAP
        _draw_matrix(ax, known.astype(float), known != 0, start=start)
        _label_block(ax, 0.0, effect.shape[1], "estimate")
        _label_block(ax, start, known.shape[1], "truth (own scale)")
    _label_cells(ax, effect, known)
    _add_legend(ax, _sign_markers(_mark_size(ax, len(effect))), above_header=known is not None)
    bar = ax.figure.colorbar(mesh, ax=ax, shrink=0.6, pad=0.02, aspect=25, extend="both")
    bar.set_label("effect (control s.d.)", fontsize=_style.SMALL_FONT_SIZE)
    bar.ax.tick_params(labelsize=_style.SMALL_FONT_SIZE, width=0.5, length=2)
    bar.outline.set_linewidth(0.5)
    return ax


def _leaf_order(effect: np.ndarray) -> np.ndarray:
    """Order rows by average linkage so that similar perturbations are neighbours."""
    if len(effect) < 3:
        return np.arange(len(effect))
    return hierarchy.leaves_list(hierarchy.linkage(effect, "average", optimal_ordering=True))


def _align_truth(truth: pd.DataFrame, perturbations: pd.Index) -> pd.DataFrame:
    missing = [name for name in perturbations if name not in truth.index]
    if missing:
        msg = (
            f"`truth` has no row for perturbation {missing[0]!r}. Add it, or leave it out through "
            "`perturbations`."
        )
        raise ValueError(msg)
    return truth.loc[list(perturbations)]


def _open_figure(effect: pd.DataFrame, known: pd.DataFrame | None, width: float | None) -> Axes:
    n_columns = effect.shape[1] + (0 if known is None else known.shape[1])
    narrow = n_columns <= 20
    width = width or (_style.SINGLE_COLUMN if narrow else _style.DOUBLE_COLUMN)
    return _style.new_axes(width, max(50.0, len(effect) * ROW_HEIGHT + 25.0))


def _draw_matrix(
    ax: Axes, values: pd.DataFrame, is_target: pd.DataFrame, *, start: float
) -> QuadMesh:
    """Draw one block of cells whose first column begins at x = ``start``, and its target marks."""
    array = values.to_numpy(dtype=float)
    limit = float(np.quantile(np.abs(array), 0.99)) or 1.0
    norm = Normalize(-limit, limit)
    x_edges = start + np.arange(array.shape[1] + 1)
    y_edges = np.arange(array.shape[0] + 1)
    mesh = ax.pcolormesh(x_edges, y_edges, array, cmap=_style.DIVERGING, norm=norm, rasterized=True)
    rows, columns = np.nonzero(is_target.to_numpy(dtype=bool))
    colours = _style.text_colour(mpl.colormaps[_style.DIVERGING](norm(array[rows, columns])))
    size = _mark_size(ax, array.shape[0])
    for sign, marker in _sign_markers(size).items():
        chosen = np.sign(array[rows, columns]) == sign
        ax.scatter(
            start + columns[chosen] + 0.5,
            rows[chosen] + 0.5,
            s=max(size, 3.0 if marker == "_" else 0.0) ** 2,
            marker=marker,
            color=colours[chosen].tolist(),
            linewidths=0.9,
        )
    return mesh


def _draw_rings(ax: Axes, ambiguous: pd.DataFrame, mesh: QuadMesh) -> None:
    rows, columns = np.nonzero(ambiguous.to_numpy())
    values = np.asarray(mesh.get_array()).reshape(ambiguous.shape)[rows, columns]
    size = 1.6 * _mark_size(ax, len(ambiguous))
    ax.scatter(
        columns + 0.5,
        rows + 0.5,
        s=size**2,
        marker="o",
        facecolors="none",
        edgecolors=_style.text_colour(mesh.to_rgba(values)).tolist(),
        linewidths=0.6,
    )


def _mark_size(ax: Axes, n_rows: int) -> float:
    """Return the width in points of a mark that fits into a row."""
    return float(np.clip(0.55 * _style.axes_size(ax)[1] / n_rows, 1.0, 4.5))


def _sign_markers(size: float) -> dict[int, str]:
    """Choose the marks; a cross that is only two points high cannot be told from a bar."""
    return {1: "+" if size > 2 else ".", -1: "_"}


def _label_block(ax: Axes, start: float, n_columns: int, text: str) -> None:
    ax.annotate(
        text,
        (start + n_columns / 2, 0.0),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=_style.FONT_SIZE,
        annotation_clip=False,
    )


def _label_cells(ax: Axes, effect: pd.DataFrame, known: pd.DataFrame | None) -> None:
    """Name rows and columns where there is room, and say how many there are where there is not."""
    n_rows, n_columns = effect.shape
    positions, names = np.arange(n_columns) + 0.5, [str(name) for name in effect.columns]
    if known is not None:
        positions = np.append(positions, n_columns + GAP + np.arange(known.shape[1]) + 0.5)
        names += [str(name) for name in known.columns]
    end = float(positions[-1]) + 0.5
    ax.set(xlim=(0, end), ylim=(n_rows, 0))
    _style.style_axes(ax)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(length=0)
    width, height = _style.axes_size(ax)
    size = _style.fitting_font_size(width / end)
    ax.set_xticks(positions if size else [], names if size else [], rotation=90, fontsize=size)
    if size is None:
        ax.set_xlabel(f"{n_columns} nodes", fontsize=_style.FONT_SIZE)
    size = _style.fitting_font_size(height / n_rows)
    ax.set_yticks(
        np.arange(n_rows) + 0.5 if size else [], effect.index if size else [], fontsize=size
    )
    if size is None:
        ax.set_ylabel(f"{n_rows} perturbations", fontsize=_style.FONT_SIZE)


def _add_legend(ax: Axes, markers: dict[int, str], *, above_header: bool) -> None:
    marks = {
        "target, raised": markers[1],
        "target, lowered": markers[-1],
        "ambiguous": "o",
    }
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            color="black",
            marker=marker,
            markersize=4,
            markerfacecolor="none" if label == "ambiguous" else "black",
            label=label,
        )
        for label, marker in marks.items()
    ]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=1.4 if above_header else 0.2,
        ncols=3,
        frameon=False,
        fontsize=_style.SMALL_FONT_SIZE,
        handletextpad=0.1,
        columnspacing=0.8,
    )
