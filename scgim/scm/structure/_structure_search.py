from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from scgim.scm._structure import Structure
from scgim.scm.structure._parent_screening import screen_parents
from scgim.scm.structure._prior_knowledge import PriorKnowledge
from scgim.scm.structure._structure_ensemble import (
    Moves,
    average_structures,
    compute_edge_evidence,
    compute_reach,
    list_moves,
)
from scgim.scm.structure._structure_score import FamilyFit, StructureScore

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgim._types import BoolArray, FloatArray
    from scgim.scm._intervention_kinds import InterventionKind, InterventionKindName
    from scgim.scm._sufficient_statistics import SufficientStatistics


# A smaller gain in nats is rounding, and would let a climb go round in circles.
MIN_GAIN = 1e-6


@dataclass(frozen=True)
class SearchSettings:
    """How to search.

    Attributes
    ----------
    kind
        Interventions to look for: ``"shift"``, ``"hard"``, ``"scale"``, ``"auto"`` (shift or hard,
        decided per target by evidence), ``"any"`` of the three, or kinds of your own.
    n_restarts
        Climbs after the first; one is rarely enough.
    n_candidates
        Parents that are screened per node when there are more nodes than that.
    max_parents
        Most parents of a node.
    edge_penalty
        Cost of an edge, in units of the extended Bayesian information criterion.
    n_walk_steps
        Steps of the walk over about equally good graphs that edge and target probabilities are
        averaged over; 1 asks the best graph alone.
    """

    kind: InterventionKindName | tuple[InterventionKind, ...] = "shift"
    n_restarts: int = 40
    n_candidates: int = 24
    max_parents: int = 12
    edge_penalty: float = 1.0
    n_walk_steps: int = 500


@dataclass(frozen=True)
class SearchProgress:
    """Where a structure search stands.

    Attributes
    ----------
    restart
        Climbs that are finished.
    n_restarts
        Climbs in all.
    score
        Score of the last climb, in nats.
    best_score
        Best score so far; lower is better.
    """

    restart: int
    n_restarts: int
    score: float
    best_score: float


def search_structure(
    statistics: SufficientStatistics,
    rng: np.random.Generator,
    *,
    settings: SearchSettings | None = None,
    prior: PriorKnowledge | None = None,
    start: BoolArray | None = None,
    callback: Callable[[SearchProgress], None] | None = None,
) -> Structure:
    """Find a causal graph and the unknown sparse targets of perturbations.

    Parameters
    ----------
    statistics
        Summary of the screen.
    rng
        Source of the restarts.
    settings
        How to search.
    prior
        What is known of edges and targets.
    start
        Acyclic graph to start from, ``[parent, child]``.
    callback
        Told after each climb where the search stands.

    Returns
    -------
    The best graph found, with mechanisms and targets. Ctrl-C keeps the best until then.
    """
    chosen = settings or SearchSettings()
    known = prior or PriorKnowledge.none(statistics.n_nodes, statistics.n_perturbations)
    score = StructureScore(statistics, known, kind=chosen.kind, edge_penalty=chosen.edge_penalty)
    # What is thought likely is always worth a try.
    candidates = screen_parents(statistics, chosen.n_candidates) | (known.edge_log_odds > 0)
    search = StructureSearch(
        score,
        candidates & ~known.forbidden,
        known.required,
        max_parents=chosen.max_parents,
    )
    return search.run(
        rng,
        n_restarts=chosen.n_restarts,
        start=start,
        callback=callback,
        n_walk_steps=chosen.n_walk_steps,
    )


class StructureSearch:
    """Hill climbing over acyclic graphs with restarts.

    A move adds, removes or turns around one edge. Scores of families are kept between climbs, so
    a restart near the best graph costs little.

    Parameters
    ----------
    score
        Score of families.
    is_candidate
        Edges that may be used, ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    required
        Edges that every graph has, same shape.
    max_parents
        Most parents of a node.
    """

    def __init__(
        self,
        score: StructureScore,
        is_candidate: BoolArray,
        required: BoolArray,
        *,
        max_parents: int = 12,
    ) -> None:
        self.score = score
        self.required = required
        self.is_candidate = (is_candidate | required) & ~np.eye(len(required), dtype=bool)
        self.max_parents = max_parents
        self._families: dict[tuple[int, bytes], tuple[float, FloatArray]] = {}
        self._fits: dict[tuple[int, bytes], FamilyFit] = {}

    def run(
        self,
        rng: np.random.Generator,
        *,
        n_restarts: int = 40,
        start: BoolArray | None = None,
        callback: Callable[[SearchProgress], None] | None = None,
        n_walk_steps: int = 1,
    ) -> Structure:
        """Climb from several starts and keep the best graph.

        Parameters
        ----------
        rng
            Source of the restarts.
        n_restarts
            Climbs after the first.
        start
            Where the first climb starts; the required edges where not given.
        callback
            Told after each climb where the search stands.
        n_walk_steps
            Graphs to average edge and target probabilities over.

        Returns
        -------
        The best graph. After Ctrl-C (``KeyboardInterrupt``) it is the best until then.
        """
        best = self.required.copy() if start is None else start | self.required
        best_score = self.total(best)
        trace: list[float] = []
        optima: dict[bytes, BoolArray] = {}
        was_stopped = False
        graph = best.copy()
        try:
            for restart in range(n_restarts + 1):
                score = self.climb(graph)
                trace.append(score)
                optima[graph.tobytes()] = graph
                if score < best_score - MIN_GAIN:
                    best, best_score = graph, score
                if callback is not None:
                    callback(SearchProgress(restart + 1, n_restarts + 1, score, best_score))
                graph = self.perturb(best, rng, from_scratch=restart % 4 == 3)
        except KeyboardInterrupt:
            was_stopped = True
            # The climb works in place and every graph on its way is acyclic.
            if self.total(graph) < best_score - MIN_GAIN:
                best = graph
        found = self.describe(best, tuple(trace), was_stopped=was_stopped)
        if was_stopped:
            return found
        ensemble = average_structures(self, list(optima.values()), rng, n_steps=n_walk_steps)
        return replace(found, **ensemble._asdict())

    def total(self, graph: BoolArray) -> float:
        """Score of a graph in nats: the sum over its families.

        Parameters
        ----------
        graph
            ``[parent, child]``, shape ``(n_nodes, n_nodes)``.

        Returns
        -------
        The score; lower is better.
        """
        return sum(self.family(node, graph[:, node])[0] for node in range(len(graph)))

    def families(self, graph: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Score of every node with its parents, and with one of them toggled.

        Parameters
        ----------
        graph
            ``[parent, child]``, shape ``(n_nodes, n_nodes)``.

        Returns
        -------
        Scores, shape ``(n_nodes,)``, and scores of each child when a parent is toggled, ``[parent,
        child]``.
        """
        families = [self.family(node, graph[:, node]) for node in range(len(graph))]
        return np.array([family[0] for family in families]), np.stack(
            [family[1] for family in families], axis=1
        )

    def target_evidence(self, graph: BoolArray) -> FloatArray:
        """Nats in favour of each target, were this the graph.

        Parameters
        ----------
        graph
            ``[parent, child]``, shape ``(n_nodes, n_nodes)``.

        Returns
        -------
        Evidence, shape ``(n_perturbations, n_nodes)``.
        """
        costs = [self._fit(node, graph[:, node]).costs[:, 0] for node in range(len(graph))]
        stacked = np.stack(costs, axis=-1)
        return _difference(stacked[0], stacked[1:].min(axis=0))

    def climb(self, graph: BoolArray) -> float:
        """Take the best move until none is left, in place.

        Parameters
        ----------
        graph
            Acyclic graph to start from; it ends as the local optimum.

        Returns
        -------
        Its score in nats.
        """
        current, toggled = self.families(graph)
        while True:
            move = _best_move(graph, toggled - current, self.required)
            if move is None:
                return float(current.sum())
            for parent, child in move:
                graph[parent, child] = not graph[parent, child]
            for child in {child for _, child in move}:
                current[child], toggled[:, child] = self.family(child, graph[:, child])

    def perturb(
        self, graph: BoolArray, rng: np.random.Generator, *, from_scratch: bool
    ) -> BoolArray:
        """Make a random acyclic graph to restart from.

        Parameters
        ----------
        graph
            Graph to change: a random half of its edges goes, random candidates come.
        rng
            Source of randomness.
        from_scratch
            Start from candidates alone.

        Returns
        -------
        Another acyclic graph with all required edges.
        """
        n_nodes = len(graph)
        kept = graph & (rng.random(graph.shape) < 0.5) & (not from_scratch)
        new = self.required | kept
        reach = compute_reach(new)
        candidates = np.argwhere(self.is_candidate & ~graph)
        n_added = min(n_nodes // 2, len(candidates))
        for parent, child in rng.permutation(candidates)[:n_added]:
            if not reach[child, parent] and new[:, child].sum() < self.max_parents:
                new[parent, child] = True
                reach |= np.outer(reach[:, parent], reach[child])
        return new

    def describe(
        self, graph: BoolArray, trace: tuple[float, ...] = (), *, was_stopped: bool = False
    ) -> Structure:
        """Fit a graph and say how sure its edges and targets are.

        Parameters
        ----------
        graph
            Acyclic graph, ``[parent, child]``.
        trace
            Scores of the climbs that led to it.
        was_stopped
            Whether they were interrupted.

        Returns
        -------
        The graph with mechanisms, targets and evidence.
        """
        statistics = self.score.statistics
        n_nodes = len(graph)
        current, toggled = self.families(graph)
        edge_evidence = compute_edge_evidence(graph, current, toggled, self.required)
        coefficients = np.zeros((n_nodes * statistics.basis.n_functions, n_nodes))
        fits = [self._fit(node, graph[:, node]) for node in range(n_nodes)]
        for node, fit in enumerate(fits):
            columns = statistics.columns_of(np.flatnonzero(graph[:, node]))
            coefficients[columns, node] = fit.coefficients[0, :-1]
        state = np.stack([fit.state[0] for fit in fits], axis=1)
        costs = np.stack([fit.costs[:, 0] for fit in fits], axis=-1)
        ranked = np.sort(costs[1:], axis=0)
        runner_up = ranked[min(1, len(ranked) - 1)]
        target_evidence = _difference(costs[0], ranked[0])
        return Structure(
            adjacency=graph,
            coefficients=coefficients,
            offset=np.array([fit.coefficients[0, -1] for fit in fits]),
            noise_variance=np.array([fit.noise_variance[0] for fit in fits]),
            kinds=self.score.kinds,
            kind_index=state - 1,
            target_evidence=target_evidence,
            kind_evidence=_difference(runner_up, ranked[0]),
            edge_evidence=edge_evidence,
            edge_probability=expit(edge_evidence),
            target_probability=expit(target_evidence),
            score=float(current.sum()),
            trace=trace,
            was_stopped=was_stopped,
        )

    def _fit(self, node: int, is_parent: BoolArray) -> FamilyFit:
        key = (node, is_parent.tobytes())
        if key not in self._fits:
            self._fits[key] = self.score.fit(np.array([node]), np.flatnonzero(is_parent)[None])
        return self._fits[key]

    def family(self, node: int, is_parent: BoolArray) -> tuple[float, FloatArray]:
        """Score of a family and of each family that differs in one parent, from memory if known.

        Parameters
        ----------
        node
            Child.
        is_parent
            Which nodes are its parents, shape ``(n_nodes,)``.

        Returns
        -------
        Score in nats, and the scores when each node is toggled, shape ``(n_nodes,)``; infinite for
        nodes that are no candidates.
        """
        key = (node, is_parent.tobytes())
        if key not in self._families:
            self._families[key] = self._score_toggles(node, is_parent)
        return self._families[key]

    def _score_toggles(self, node: int, is_parent: BoolArray) -> tuple[float, FloatArray]:
        parents = np.flatnonzero(is_parent)
        scores = np.full(len(is_parent), np.inf)
        current = float(self._fit(node, is_parent).score[0])
        additions = np.flatnonzero(self.is_candidate[:, node] & ~is_parent)
        if len(additions) and len(parents) < self.max_parents:
            families = np.column_stack([np.tile(parents, (len(additions), 1)), additions])
            scores[additions] = self.score.fit(np.full(len(additions), node), families).score
        if len(parents):
            left_out = ~np.eye(len(parents), dtype=bool)
            families = np.tile(parents, (len(parents), 1))[left_out].reshape(len(parents), -1)
            scores[parents] = self.score.fit(np.full(len(parents), node), families).score
        return current, scores


def _best_move(
    graph: BoolArray, change: FloatArray, required: BoolArray
) -> list[tuple[int, int]] | None:
    """Find the toggles of the move that lowers the score most; ``None`` when none does."""
    moves = list_moves(graph, change, required)
    lowest = [move.min() for move in moves]
    kind = int(np.argmin(lowest))
    if lowest[kind] > -MIN_GAIN:
        return None
    parent, child = divmod(int(moves[kind].argmin()), len(graph))
    is_turned = Moves._fields[kind] == "turning"
    return [(parent, child), (child, parent)] if is_turned else [(parent, child)]


def _difference(minuend: FloatArray, subtrahend: FloatArray) -> FloatArray:
    """Subtract costs of which one may be infinite."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(minuend - subtrahend, nan=0.0, posinf=1e3, neginf=-1e3)
