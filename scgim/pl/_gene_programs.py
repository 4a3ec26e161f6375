"""The genes that each node moves most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize

from scgim.pl import _style
from scgim.pl._tables import check_known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

ROW_HEIGHT = 4.2
"""Height in mm of a node's row in a figure made here."""
NAME_SHARE = 0.92 * 0.82
"""Share of the width for names: the colour bar and the names of the nodes take about a fifth."""


def gene_programs(
    programs: pd.DataFrame,
    *,
    nodes: Sequence[str] | None = None,
    n_genes: int = 8,
    width: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """List the genes with the largest weights of each gene program, one row per node.

    A triangle before the name says whether the node raises (▲) or lowers (▼) the gene, and the
    colour how much.

    Parameters
    ----------
    programs
        Table of ``GIM.get_gene_programs``, genes x nodes.
    nodes
        Nodes to draw; all by default.
    n_genes
        Genes per node. A figure that is too narrow for the names draws fewer and says so.
    width
        Width of a new figure in mm; ignored when ``ax`` is given. By default one journal column, or
        two for more than six genes.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with one text per gene.
    """
    if not isinstance(programs, pd.DataFrame):
        msg = (
            f"`programs` is a {type(programs).__name__}, expected a DataFrame, genes x nodes. "
            "Pass the table that `GIM.get_gene_programs` returns."
        )
        raise TypeError(msg)
    if nodes is not None:
        check_known(nodes, list(programs.columns), name="nodes")
        programs = programs[list(nodes)]
    wanted = n_genes = min(n_genes, len(programs))
    if n_genes < 1 or not programs.shape[1]:
        msg = f"`programs` has shape {programs.shape} and `n_genes` is {n_genes}: nothing to draw."
        raise ValueError(msg)
    weights = programs.to_numpy(dtype=float)
    top = np.argsort(-np.abs(weights), axis=0, kind="stable")[:n_genes].T
    values = np.take_along_axis(weights.T, top, axis=1)
    names = programs.index.to_numpy(dtype=str)[top]
    if ax is None:
        width = width or _narrowest_page(names)
        ax = _style.new_axes(width, max(35.0, ROW_HEIGHT * len(top) + 14.0))
    n_genes = _count_legible(ax, names)
    mesh = _draw_cells(ax, values[:, :n_genes], names[:, :n_genes])
    _label_axes(ax, [str(node) for node in programs.columns], n_genes, wanted)
    bar = ax.figure.colorbar(mesh, ax=ax, shrink=0.8, pad=0.01, aspect=25, extend="both")
    bar.set_label("weight", fontsize=_style.SMALL_FONT_SIZE)
    bar.ax.tick_params(labelsize=_style.SMALL_FONT_SIZE, width=0.5, length=2)
    bar.outline.set_linewidth(0.5)
    return ax


def _draw_cells(ax: Axes, values: np.ndarray, names: np.ndarray) -> QuadMesh:
    limit = float(np.quantile(np.abs(values), 0.98)) or 1.0
    norm = Normalize(-limit, limit)
    mesh = ax.pcolormesh(
        values, cmap=_style.DIVERGING, norm=norm, edgecolors="white", linewidth=0.8
    )
    colours = _style.text_colour(mpl.colormaps[_style.DIVERGING](norm(values)))
    size = _name_font_size(ax, names)
    for (row, column), name in np.ndenumerate(names):
        value = values[row, column]
        if value == 0:
            continue
        ax.text(
            column + 0.5,
            row + 0.5,
            ("▲" if value > 0 else "▼") + name,
            ha="center",
            va="center",
            fontsize=size,
            color=str(colours[row, column]),
            clip_on=True,
        )
    return mesh


def _narrowest_page(names: np.ndarray) -> float:
    """Return one journal column in mm if the names are legible there, else two."""
    cell = (
        0.62 * _style.SINGLE_COLUMN / _style.MM_PER_INCH * _style.POINTS_PER_INCH / names.shape[1]
    )
    legible = 0.92 * cell >= _widest_name(names) * (_style.MIN_FONT_SIZE + 0.5)
    return _style.SINGLE_COLUMN if legible else _style.DOUBLE_COLUMN


def _count_legible(ax: Axes, names: np.ndarray) -> int:
    """Count the columns that fit side by side with legible names, at least one."""
    room = NAME_SHARE * _style.axes_size(ax)[0]
    for n_genes in range(names.shape[1], 1, -1):
        if room / n_genes >= _style.MIN_FONT_SIZE * _widest_name(names[:, :n_genes]):
            return n_genes
    return 1


def _name_font_size(ax: Axes, names: np.ndarray) -> float:
    """Return the largest font size with which the longest name fits its cell, at least legible."""
    width, height = _style.axes_size(ax)
    fitting = NAME_SHARE * width / names.shape[1] / _widest_name(names)
    fitting = min(fitting, 0.75 * height / names.shape[0])
    return float(np.clip(fitting, _style.MIN_FONT_SIZE, _style.SMALL_FONT_SIZE))


def _widest_name(names: np.ndarray) -> float:
    """Return the width of the widest name with its triangle, in font sizes."""
    return max(_style.text_width("▲" + name, 1.0) for name in np.unique(names))


def _label_axes(ax: Axes, nodes: list[str], n_genes: int, wanted: int) -> None:
    ax.set(xlim=(0, n_genes), ylim=(len(nodes), 0))
    hidden = f" ({n_genes} of {wanted} fit)" if n_genes < wanted else ""
    _style.style_axes(ax, xlabel="rank by absolute weight" + hidden)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(length=0)
    ax.set_xticks(np.arange(n_genes) + 0.5, [str(rank + 1) for rank in range(n_genes)])
    size = _style.fitting_font_size(_style.axes_size(ax)[1] / len(nodes))
    if size is None:
        ax.set_yticks([])
        ax.set_ylabel(f"{len(nodes)} nodes", fontsize=_style.FONT_SIZE)
    else:
        ax.set_yticks(np.arange(len(nodes)) + 0.5, nodes, fontsize=size)
