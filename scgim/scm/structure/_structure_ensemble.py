from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scgim._types import BoolArray, FloatArray
    from scgim.scm.structure._structure_search import StructureSearch


# Nats by which an edge that closes a cycle ranks behind all others; only their order matters.
IMPOSSIBLE = 1e3
# Keeps the waiting time of the walk finite at a graph that it would never leave.
MAX_WEIGHT = 1e9
# Local optima that are more nats worse than the best weigh less than exp(-10) and are left out.
SCORE_RANGE = 10.0


class StructureEnsemble(NamedTuple):
    """Graphs about as good as the best one, averaged.

    Attributes
    ----------
    edge_probability
        Shape ``(n_nodes, n_nodes)``, ``[parent, child]``.
    target_probability
        Shape ``(n_perturbations, n_nodes)``.
    """

    edge_probability: FloatArray
    target_probability: FloatArray


class Moves(NamedTuple):
    """Change of the score by each legal change of one edge, ``[parent, child]``; infinite if illegal.

    Attributes
    ----------
    adding
        Of adding the edge.
    removing
        Of removing it.
    turning
        Of turning it around.
    """

    adding: FloatArray
    removing: FloatArray
    turning: FloatArray


def compute_reach(graph: BoolArray) -> BoolArray:
    """Find which nodes can be reached from which along the edges.

    Parameters
    ----------
    graph
        ``[parent, child]``, shape ``(n_nodes, n_nodes)``.

    Returns
    -------
    Whether there is a path, ``[from, to]``; each node reaches itself.
    """
    reach = graph | np.eye(len(graph), dtype=bool)
    while True:
        further = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
        if (further == reach).all():
            return reach
        reach = further


def list_moves(graph: BoolArray, change: FloatArray, required: BoolArray) -> Moves:
    """List the changes of one edge that keep the graph acyclic.

    Parameters
    ----------
    graph
        Acyclic graph, ``[parent, child]``.
    change
        Change of a child's score when a parent is toggled, same shape.
    required
        Edges that have to stay.

    Returns
    -------
    What each move does to the score.
    """
    reach = compute_reach(graph)
    free = graph & ~required
    return Moves(
        adding=np.where(graph | reach.T, np.inf, change),
        removing=np.where(free, change, np.inf),
        # Turning i → j around closes no cycle if the edge is the only way from i to j.
        turning=np.where(free & ~_has_detour(graph, reach), change + change.T, np.inf),
    )


def compute_edge_evidence(
    graph: BoolArray, current: FloatArray, toggled: FloatArray, required: BoolArray
) -> FloatArray:
    """Log-odds of each edge given all edges between other pairs of nodes.

    The alternatives are no edge, and the edge turned around where that closes no cycle.

    Parameters
    ----------
    graph
        Acyclic graph, ``[parent, child]``.
    current
        Score of each node with its parents, shape ``(n_nodes,)``.
    toggled
        Score of each child when a parent is toggled, ``[parent, child]``.
    required
        Edges that have to be.

    Returns
    -------
    Nats in favour of each edge; edges that would close a cycle rank last, by their score.
    """
    with_edge = np.where(graph, current, toggled)
    without = np.where(graph, toggled, current)
    forward = with_edge + without.T
    neither = np.where(required | required.T, np.inf, without + without.T)
    closes_cycle = _has_detour(graph, compute_reach(graph)).T
    legal = np.where(closes_cycle | required.T, np.inf, forward)
    with np.errstate(invalid="ignore"):
        evidence = -legal - np.logaddexp(-neither, -legal.T)
        rank = np.nan_to_num(np.abs(current - toggled), nan=0.0, posinf=IMPOSSIBLE)
    evidence = np.where(np.isfinite(legal), evidence, -IMPOSSIBLE - rank)
    return np.asarray(np.nan_to_num(evidence, posinf=IMPOSSIBLE, neginf=-2 * IMPOSSIBLE))


def average_structures(
    search: StructureSearch, starts: list[BoolArray], rng: np.random.Generator, *, n_steps: int
) -> StructureEnsemble:
    """Average edges and targets over graphs that explain the screen about as well as the best.

    A Metropolis walk over acyclic graphs whose target is the exponential of the score, rejection-free
    and weighted by its waiting times, from every local optimum within 10 nats of the best. At each
    graph an edge counts by its probability given the other edges (:func:`compute_edge_evidence`).
    It says how far the data decide between graphs if the model is right, nothing of how wrong it is.

    Parameters
    ----------
    search
        The search, whose memory of scores makes this cheap.
    starts
        Local optima.
    rng
        Source of the walk.
    n_steps
        Steps, shared out between the starts.

    Returns
    -------
    Averages.
    """
    scores = np.array([search.total(start) for start in starts])
    chosen = np.flatnonzero(scores <= scores.min() + SCORE_RANGE)
    edges = np.zeros(search.required.shape)
    targets = np.zeros((search.score.statistics.n_perturbations, len(edges)))
    total = 0.0
    for index in chosen:
        share = float(np.exp(scores.min() - scores[index]))
        visits = list(_walk(search, starts[index].copy(), rng, max(n_steps // len(chosen), 1)))
        scale = share / sum(visit.weight for visit in visits)
        for visit in visits:
            edges += scale * visit.weight * visit.edge_probability
            targets += scale * visit.weight * visit.target_probability
        total += share
    return StructureEnsemble(edges / total, targets / total)


class _Visit(NamedTuple):
    weight: float  # expected steps until the walk leaves the graph
    edge_probability: FloatArray
    target_probability: FloatArray


def _walk(
    search: StructureSearch, graph: BoolArray, rng: np.random.Generator, n_steps: int
) -> Iterator[_Visit]:
    current, toggled = search.families(graph)
    for _ in range(n_steps):
        moves = np.stack(list_moves(graph, toggled - current, search.required))
        rates = np.exp(-np.maximum(moves, 0.0)).ravel()
        evidence = compute_edge_evidence(graph, current, toggled, search.required)
        yield _Visit(
            weight=min(1 / max(float(rates.sum()), 1 / MAX_WEIGHT), MAX_WEIGHT),
            edge_probability=expit(evidence),
            target_probability=expit(search.target_evidence(graph)),
        )
        if not rates.any():
            return
        move = int(np.searchsorted(np.cumsum(rates), rng.random() * rates.sum()))
        kind, pair = divmod(min(move, len(rates) - 1), graph.size)
        parent, child = divmod(pair, len(graph))
        graph[parent, child] = not graph[parent, child]
        if kind == Moves._fields.index("turning"):
            graph[child, parent] = True
        for node in {child, parent}:
            current[node], toggled[:, node] = search.family(node, graph[:, node])


def _has_detour(graph: BoolArray, reach: BoolArray) -> BoolArray:
    """Whether there is a path ``[from, to]`` besides the edge between the two."""
    n_ways = graph.astype(np.float32) @ reach.astype(np.float32)
    detour: BoolArray = n_ways > graph
    return detour
