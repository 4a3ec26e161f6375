"""Layered drawing of a causal graph."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import networkx as nx
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.transforms import ScaledTranslation

from scgim.pl import _style
from scgim.pl._layered_layout import LayeredLayout, layered_layout
from scgim.pl._tables import check_square

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

DEFAULT_SHARE = 0.1
"""Without a threshold, edges below this share of the largest weight are left out."""
DEFAULT_EDGES = 3
"""Without a threshold, so many edges per node are drawn at most: more cannot be followed by eye."""
PADDING = 0.35
"""Space between a node's name and its box, in font sizes."""
WIDEST_LINE = 1.8
PALE = 0.35
"""Opacity of ambiguous edges."""
DOT_RADIUS = 2.2
"""Radius in points of a node that has no room for a box."""
NEGATIVE_STYLE = (0, (3, 1.2))
LAYOUTS = ("layered", "graphviz")


def causal_graph(
    adjacency: pd.DataFrame,
    *,
    threshold: float | None = None,
    ambiguous: pd.DataFrame | None = None,
    highlight: Mapping[str, str] | None = None,
    layout: Literal["layered", "graphviz"] = "layered",
    label: str = "weight",
    width: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the causal graph with parents left of children.

    An edge that raises its child ends in an arrow, one that lowers it is dashed and ends in a bar;
    line width grows with the absolute weight. So signs can be told apart in black and white.

    Parameters
    ----------
    adjacency
        Table of ``GIM.get_causal_graph``: row = parent, column = child.
    threshold
        Draw edges with an absolute weight of at least this much. By default a tenth of the largest
        weight, or more if that left over three edges per node; the figure says how many edges are
        left out.
    ambiguous
        Table of ``GIM.get_causal_graph("ambiguous")``: edges that near-tied bases or orders of the
        nodes do not all have are drawn pale.
    highlight
        Node to Matplotlib colour of its box, for example of the targets of one drug.
    layout
        ``"layered"`` needs nothing else. ``"graphviz"`` asks the program ``dot`` through pygraphviz,
        which must both be installed.
    label
        What the numbers of ``adjacency`` are, for the legend.
    width
        Width of a new figure in mm; ignored when ``ax`` is given. By default one journal column, or
        two for more than 16 nodes.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Each edge is one of its patches, each node's name one of its texts.
    """
    weights = check_square(adjacency)
    weights.index = weights.columns = weights.index.astype(str)
    drawn, n_hidden, cut = _visible_edges(weights, threshold)
    graph = nx.from_pandas_adjacency(drawn, create_using=nx.DiGraph)
    if ambiguous is not None:
        _mark_ambiguous(graph, ambiguous)
    _check_acyclic(graph)
    places = _place_nodes(graph, layout)
    if ax is None:
        ax = _open_figure(places, width)
    ax.set(xlim=(-0.5, places.n_layers - 0.5), ylim=(-0.02, 1.02))
    ax.set_axis_off()
    boxes = _size_boxes(ax, places)
    _draw_nodes(ax, places, boxes, highlight or {})
    _draw_edges(ax, graph, places, boxes)
    hidden = f"; {n_hidden} below {cut:.2g} not shown" if n_hidden else ""
    drawn_label = f"line width: |{label}|" if graph.number_of_edges() else "no edges"
    _add_legend(ax, graph, drawn_label + hidden)
    return ax


def _visible_edges(
    weights: pd.DataFrame, threshold: float | None
) -> tuple[pd.DataFrame, int, float]:
    """Return the weights with small ones set to 0, how many that were, and the threshold."""
    size = weights.abs()
    cut = _default_threshold(size.to_numpy()) if threshold is None else threshold
    hidden = (size > 0) & (size < cut)
    return weights.mask(hidden, 0.0), int(hidden.to_numpy().sum()), cut


def _mark_ambiguous(graph: nx.DiGraph, ambiguous: pd.DataFrame) -> None:
    """Give the edges on which bases disagree the attribute ``ambiguous``."""
    table = check_square(ambiguous, name="ambiguous").rename(index=str, columns=str)
    missing = [node for node in graph if node not in table.index]
    if missing:
        msg = (
            f"`ambiguous` has no row for node {missing[0]!r}. Pass the table that "
            "`GIM.get_causal_graph('ambiguous')` returns for the same model."
        )
        raise ValueError(msg)
    for parent, child, edge in graph.edges(data=True):
        edge["ambiguous"] = bool(table.loc[parent, child])


def _default_threshold(size: np.ndarray) -> float:
    largest_first = np.sort(size, axis=None)[::-1]
    n_edges = DEFAULT_EDGES * len(size)
    crowded = largest_first[n_edges - 1] if n_edges < len(largest_first) else 0.0
    return float(max(DEFAULT_SHARE * largest_first[0], crowded))


def _check_acyclic(graph: nx.DiGraph) -> None:
    if nx.is_directed_acyclic_graph(graph):
        return
    cycle = " → ".join([parent for parent, _ in nx.find_cycle(graph)])
    msg = (
        f"`adjacency` has the cycle {cycle} among the edges to draw, but a causal graph has none. "
        "Raise `threshold`, or break the cycle."
    )
    raise ValueError(msg)


def _place_nodes(graph: nx.DiGraph, layout: str) -> LayeredLayout:
    if layout not in LAYOUTS:
        msg = f"`layout={layout!r}` is not one of {list(LAYOUTS)}. Pass one of them."
        raise ValueError(msg)
    if layout == "layered":
        return layered_layout(graph)
    try:
        placed = nx.nx_agraph.graphviz_layout(graph, prog="dot", args="-Grankdir=LR")
    except (ImportError, OSError, ValueError) as error:
        msg = (
            "`layout='graphviz'` needs the package pygraphviz and the program dot, and one of them "
            "is missing. Install both, or pass `layout='layered'`."
        )
        raise RuntimeError(msg) from error
    ranks = {x: rank for rank, x in enumerate(sorted({round(x) for x, _ in placed.values()}))}
    top = max(y for _, y in placed.values()) or 1.0
    return LayeredLayout({node: (ranks[round(x)], y / top) for node, (x, y) in placed.items()})


def _open_figure(places: LayeredLayout, width: float | None) -> Axes:
    n_nodes = len(places.positions)
    width = width or (_style.SINGLE_COLUMN if n_nodes <= 16 else _style.DOUBLE_COLUMN)
    layers = [x for x, _ in places.positions.values()]
    tallest = max(layers.count(layer) for layer in set(layers))
    passing = [x for route in places.routes.values() for x, _ in route]
    crowd = max((passing.count(layer) for layer in set(passing)), default=0)
    return _style.new_axes(width, max(45.0, 7.5 * tallest + 1.5 * crowd + 12.0))


@dataclass(frozen=True)
class _Boxes:
    """How large nodes are drawn, in points."""

    font_size: float
    half_widths: dict[str, float]
    half_height: float

    @property
    def are_dots(self) -> bool:
        """Whether nodes are dots with their name above, because boxes would meet."""
        return self.half_height == DOT_RADIUS


def _size_boxes(ax: Axes, places: LayeredLayout) -> _Boxes:
    """Choose the largest font size with which boxes leave room for edges; dots where none does."""
    longest = max(_style.text_width(node, 1.0) for node in places.positions)
    layer_width = _style.axes_size(ax)[0] / places.n_layers
    size = min(_style.FONT_SIZE, 0.72 * layer_width / (longest + 2 * PADDING))
    if size >= _style.MIN_FONT_SIZE:
        half_widths = {
            node: _style.text_width(node, size) / 2 + PADDING * size for node in places.positions
        }
        return _Boxes(size, half_widths, 0.85 * size)
    size = max(_style.MIN_FONT_SIZE, min(_style.SMALL_FONT_SIZE, 0.9 * layer_width / longest))
    return _Boxes(size, dict.fromkeys(places.positions, DOT_RADIUS), DOT_RADIUS)


def _draw_nodes(
    ax: Axes, places: LayeredLayout, boxes: _Boxes, highlight: Mapping[str, str]
) -> None:
    for node, position in places.positions.items():
        colour = highlight.get(node, "white")
        if boxes.are_dots:
            ax.scatter(
                *position,
                s=(2 * DOT_RADIUS) ** 2,
                c=[colour],
                edgecolors="black",
                linewidths=0.6,
                zorder=4,
            )
            ax.annotate(
                node,
                position,
                xytext=(0, DOT_RADIUS + 0.5),
                textcoords="offset points",
                fontsize=boxes.font_size,
                ha="center",
                va="bottom",
                zorder=5,
                path_effects=[withStroke(linewidth=1.5, foreground="white")],
            )
            continue
        ax.text(
            *position,
            node,
            fontsize=boxes.font_size,
            ha="center",
            va="center",
            zorder=4,
            bbox={
                "boxstyle": f"round,pad={PADDING}",
                "facecolor": colour,
                "edgecolor": "black",
                "linewidth": 0.6,
            },
        )


def _draw_edges(ax: Axes, graph: nx.DiGraph, places: LayeredLayout, boxes: _Boxes) -> None:
    entries = _entry_offsets(graph, places, boxes)
    sizes = [abs(weight) for _, _, weight in graph.edges(data="weight")]
    for parent, child, edge in graph.edges(data=True):
        weight, alpha = edge["weight"], PALE if edge.get("ambiguous") else 1.0
        line_width = 0.4 + (WIDEST_LINE - 0.4) * abs(weight) / max(sizes)
        entry, half_width = entries[child][parent], boxes.half_widths[child]
        gap = 0.4 if weight > 0 else 1.0
        route = _Route(
            tuple(places.routes.get((parent, child), ())), ax.transData, entry / (half_width + gap)
        )
        ax.add_patch(
            FancyArrowPatch(
                places.positions[parent],
                places.positions[child],
                arrowstyle="-|>" if weight > 0 else "-",
                connectionstyle=route,  # type: ignore[arg-type]  # any callable will do
                shrinkA=boxes.half_widths[parent],
                shrinkB=half_width + gap,
                mutation_scale=3.5 + 1.5 * line_width,
                linewidth=line_width,
                linestyle="-" if weight > 0 else NEGATIVE_STYLE,
                color=_style.POSITIVE if weight > 0 else _style.NEGATIVE,
                alpha=alpha,
                capstyle="butt",
                joinstyle="miter",
                zorder=2,
            )
        )
        if weight < 0:
            offset = (-half_width - gap, entry)
            _draw_bar(ax, places.positions[child], offset, line_width, alpha)


def _draw_bar(
    ax: Axes,
    position: tuple[float, float],
    offset: tuple[float, float],
    line_width: float,
    alpha: float,
) -> None:
    """Draw the bar at the end of an edge that lowers its child; the offset is in points."""
    figure = ax.get_figure(root=True)
    if figure is None:
        return
    right, up = (side / _style.POINTS_PER_INCH for side in offset)
    ax.plot(
        *position,
        marker="|",
        markersize=3.5 + 1.5 * line_width,
        markeredgewidth=max(0.8, 0.7 * line_width),
        color=_style.NEGATIVE,
        alpha=alpha,
        transform=ax.transData + ScaledTranslation(right, up, figure.dpi_scale_trans),
        zorder=5,
    )


def _entry_offsets(
    graph: nx.DiGraph, places: LayeredLayout, boxes: _Boxes
) -> dict[str, dict[str, float]]:
    """Spread the edges that enter a node over the height of its box; offsets in points."""
    offsets = {}
    for child in graph:

        def last_height(parent: str, child: str = child) -> float:
            return (places.routes.get((parent, child)) or [places.positions[parent]])[-1][1]

        parents = sorted(graph.predecessors(child), key=last_height)
        half = 0.0 if boxes.are_dots else min(1.8 * (len(parents) - 1), 0.8 * boxes.half_height)
        steps = np.linspace(-half, half, len(parents)) if len(parents) > 1 else [0.0]
        offsets[child] = dict(zip(parents, map(float, steps), strict=False))
    return offsets


@dataclass(frozen=True)
class _Route:
    """A line that leaves a box on its right, passes points, and enters a box on its left.

    Matplotlib calls it with the ends in display coordinates, at every drawing.
    """

    points: tuple[tuple[float, float], ...]
    transform: Transform
    entry: float  # vertical offset at the child, in units of shrinkB

    def __call__(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        shrinkA: float = 0.0,  # noqa: N803 - Matplotlib's names
        shrinkB: float = 0.0,  # noqa: N803
        **_: object,
    ) -> Path:
        """Return the path in display coordinates."""
        stops = np.array(
            [
                (start[0] + shrinkA, start[1]),
                *self.transform.transform(np.reshape(self.points, (-1, 2))),
                (end[0] - shrinkB, end[1] + self.entry * shrinkB),
            ]
        )
        vertices = [stops[0]]
        for left, right in pairwise(stops):
            middle = (left[0] + right[0]) / 2
            vertices += [(middle, left[1]), (middle, right[1]), right]
        codes = [Path.MOVETO, *[Path.CURVE4] * (len(vertices) - 1)]
        return Path(vertices, codes)


def _add_legend(ax: Axes, graph: nx.DiGraph, title: str) -> None:
    signs = {weight > 0 for _, _, weight in graph.edges(data="weight")}
    handles = []
    if True in signs:
        handles.append(Line2D([], [], color=_style.POSITIVE, lw=1.2, label="raises (arrow)"))
    if False in signs:
        handles.append(
            Line2D([], [], color=_style.NEGATIVE, lw=1.2, ls=NEGATIVE_STYLE, label="lowers (bar)")
        )
    if any(is_pale for _, _, is_pale in graph.edges(data="ambiguous")):
        handles.append(Line2D([], [], color="black", lw=1.2, alpha=PALE, label="pale: ambiguous"))
    legend = ax.legend(
        handles=handles,
        title=title,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=3,
        frameon=False,
        fontsize=_style.SMALL_FONT_SIZE,
    )
    legend.get_title().set_fontsize(_style.SMALL_FONT_SIZE)
