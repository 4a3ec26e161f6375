"""Positions for the drawing of an acyclic graph: layers from left to right, few crossings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import networkx as nx
import numpy as np
from sklearn.isotonic import isotonic_regression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

N_SWEEPS = 24
MIN_COLUMNS = 6
"""Nodes without edges stand in rows of at least this many."""

Place: TypeAlias = str | tuple[str, str, int]
"""A node, or the point where a long edge (parent, child) passes a layer."""


@dataclass(frozen=True)
class LayeredLayout:
    """Where to draw the nodes and edges of an acyclic graph.

    Attributes
    ----------
    positions
        Node to (x, y). x is the layer, counted from the roots; y lies in [0, 1].
    routes
        Edge to the points between parent and child through which it passes, one per layer between.
    """

    positions: dict[str, tuple[float, float]]
    routes: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return 1 + max(math.ceil(x) for x, _ in self.positions.values())


def layered_layout(graph: nx.DiGraph) -> LayeredLayout:
    """Place parents left of children, and order each layer so that few edges cross.

    Follows Sugiyama, Tagawa and Toda (IEEE Trans. SMC 11:109, 1981): longest-path layers, a
    placeholder in every layer that an edge passes, and sweeps that sort each layer by the mean
    position of the neighbours. Of all sweeps the one with the fewest crossings is kept.

    Parameters
    ----------
    graph
        Acyclic graph; its nodes are strings.

    Returns
    -------
    The layout. Nodes without edges are placed in rows below the others.
    """
    connected = graph.subgraph([node for node, degree in graph.degree if degree])
    isolated = [node for node, degree in graph.degree if not degree]
    layers, chain = _insert_placeholders(connected)
    layers = _reduce_crossings(layers, chain)
    return _append_rows(_spread(layers, chain), isolated)


def _insert_placeholders(graph: nx.DiGraph) -> tuple[list[list[Place]], nx.DiGraph]:
    """Split edges that pass layers; returns the layers and a graph of edges between neighbours."""
    layers: list[list[Place]] = [sorted(layer) for layer in nx.topological_generations(graph)]
    level = {node: index for index, layer in enumerate(layers) for node in layer}
    chain: nx.DiGraph = nx.DiGraph()
    chain.add_nodes_from(graph)
    for parent, child in graph.edges:
        between = range(level[parent] + 1, level[child])
        for layer in between:
            layers[layer].append((parent, child, layer))
        nx.add_path(chain, [parent, *[(parent, child, layer) for layer in between], child])
    return layers, chain


def _reduce_crossings(layers: list[list[Place]], chain: nx.DiGraph) -> list[list[Place]]:
    best, fewest = layers, count_crossings(layers, chain)
    current = [list(layer) for layer in layers]
    for sweep in range(N_SWEEPS):
        forward = sweep % 2 == 0
        order = range(1, len(current)) if forward else range(len(current) - 2, -1, -1)
        neighbours = chain.predecessors if forward else chain.successors
        for index in order:
            reference = current[index - 1 if forward else index + 1]
            rank = {place: i / max(len(reference) - 1, 1) for i, place in enumerate(reference)}
            current[index] = _sort_by_neighbours(current[index], neighbours, rank)
        crossings = count_crossings(current, chain)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in current], crossings
    return best


def _sort_by_neighbours(
    layer: list[Place], neighbours: Callable[[Place], Iterable[Place]], rank: dict[Place, float]
) -> list[Place]:
    """Sort by mean rank of the neighbours; a place without neighbours keeps its own."""
    own = {place: i / max(len(layer) - 1, 1) for i, place in enumerate(layer)}

    def mean_rank(place: Place) -> float:
        ranks = [rank[other] for other in neighbours(place) if other in rank]
        return float(np.mean(ranks)) if ranks else own[place]

    return sorted(layer, key=mean_rank)


def count_crossings(layers: list[list[Place]], chain: nx.DiGraph) -> int:
    """Count pairs of edges that cross between neighbouring layers.

    Parameters
    ----------
    layers
        Places of each layer in drawing order.
    chain
        Edges between neighbouring layers.

    Returns
    -------
    Number of crossings.
    """
    crossings = 0
    for left, right in pairwise(layers):
        rank = {place: index for index, place in enumerate(right)}
        ends = [
            (i, rank[child]) for i, place in enumerate(left) for child in chain.successors(place)
        ]
        start, end = np.array(ends, dtype=int).reshape(-1, 2).T
        crossed = (start[:, None] < start[None, :]) & (end[:, None] > end[None, :])
        crossings += int(crossed.sum())
    return crossings


def _spread(layers: list[list[Place]], chain: nx.DiGraph) -> LayeredLayout:
    """Give each place a height that keeps the order of its layer and makes edges straight."""
    height = max((sum(map(_room, layer)) for layer in layers), default=1.0)
    heights = {
        place: y for layer in layers for place, y in zip(layer, _even(layer, height), strict=True)
    }
    for _ in range(N_SWEEPS):
        for layer in layers:
            heights.update(_straighten(layer, chain, heights, height))
    positions: dict[str, tuple[float, float]] = {}
    routes: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for x, layer in enumerate(layers):
        for place in layer:
            point = (float(x), 1.0 - heights[place] / height)
            if isinstance(place, str):
                positions[place] = point
            else:
                routes.setdefault(place[:2], []).append(point)
    return LayeredLayout(positions, routes)


def _room(place: Place) -> float:
    """Room of a place: a passing edge takes half of a node's."""
    return 1.0 if isinstance(place, str) else 0.5


def _even(layer: list[Place], height: float) -> np.ndarray:
    room = np.array([_room(place) for place in layer])
    return (np.cumsum(room) - room / 2) * height / room.sum()


def _straighten(
    layer: list[Place], chain: nx.DiGraph, heights: dict[Place, float], height: float
) -> dict[Place, float]:
    """Move each place towards its neighbours; isotonic regression keeps order and distance."""
    room = np.array([_room(place) for place in layer])
    lowest = np.cumsum(room) - room / 2
    wanted = [
        np.mean([heights[other] for other in nx.all_neighbors(chain, place)] or [heights[place]])
        for place in layer
    ]
    weights = np.array([chain.degree(place) for place in layer], dtype=float) + 1.0
    slack = isotonic_regression(
        np.array(wanted) - lowest, sample_weight=weights, y_min=0.0, y_max=height - room.sum()
    )
    return dict(zip(layer, (slack + lowest).tolist(), strict=True))


def _append_rows(layout: LayeredLayout, isolated: list[str]) -> LayeredLayout:
    """Add nodes without edges in rows below the others, and rescale y to [0, 1]."""
    if not isolated:
        return layout
    layers = [x for x, _ in layout.positions.values()]
    n_layers = layout.n_layers if layers else 1
    n_columns = max(n_layers, min(len(isolated), MIN_COLUMNS))
    tallest = max((layers.count(x) for x in set(layers)), default=0)
    n_rows = -(-len(isolated) // n_columns)
    share = tallest / (tallest + n_rows)

    stretch = (n_columns - 1) / max(n_layers - 1, 1)

    def move(point: tuple[float, float]) -> tuple[float, float]:
        return point[0] * stretch, 1.0 - share * (1.0 - point[1])

    positions = {node: move(point) for node, point in layout.positions.items()}
    routes = {edge: [move(point) for point in route] for edge, route in layout.routes.items()}
    for index, node in enumerate(isolated):
        row, column = divmod(index, n_columns)
        positions[node] = (float(column), (1.0 - share) * (1.0 - (row + 0.5) / n_rows))
    return LayeredLayout(positions, routes)
