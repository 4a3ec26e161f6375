from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scgim.scm._prior_knowledge import PriorKnowledge
from scgim.scm._structure_score import FamilyFit, StructureScore

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgim.scm._intervention_kinds import InterventionKind, InterventionKindName
    from scgim.scm._sufficient_statistics import FloatArray, SufficientStatistics

BoolArray = NDArray[np.bool_]

MIN_GAIN = 1e-6
PARTIAL_SHARE = 0.75


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
    """

    kind: InterventionKindName | tuple[InterventionKind, ...] = "shift"
    n_restarts: int = 40
    n_candidates: int = 24
    max_parents: int = 12
    edge_penalty: float = 1.0


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


@dataclass(frozen=True)
class Structure:
    """A causal graph with mechanisms and targets, as structure search found them.

    Attributes
    ----------
    adjacency
        Whether parent → child, ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    coefficients
        Of the basis functions of the parents, shape ``(n_columns, n_nodes)``; for linear mechanisms
        the edge weights.
    offset
        Intercepts, shape ``(n_nodes,)``.
    noise_variance
        Variances of the exogenous noise, shape ``(n_nodes,)``.
    kinds
        Kinds of interventions that were looked for.
    kind_index
        Which of them is done to a target, -1 where there is no target, shape
        ``(n_perturbations, n_nodes)``.
    target_evidence
        Nats in favour of a target, its penalty paid, same shape.
    kind_evidence
        Nats in favour of the likeliest kind over the next one, same shape; 0 where only one kind was
        allowed.
    edge_evidence
        Nats in favour of each edge, ``[parent, child]``; edges that would close a cycle rank last.
    score
        Score of the graph in nats; lower is better.
    trace
        Score of every climb.
    was_stopped
        Whether the search was interrupted; the best graph until then is what is kept.
    """

    adjacency: BoolArray
    coefficients: FloatArray
    offset: FloatArray
    noise_variance: FloatArray
    kinds: tuple[InterventionKind, ...]
    kind_index: NDArray[np.int64]
    target_evidence: FloatArray
    kind_evidence: FloatArray
    edge_evidence: FloatArray
    score: float
    trace: tuple[float, ...]
    was_stopped: bool

    @property
    def is_target(self) -> BoolArray:
        """Targets, shape ``(n_perturbations, n_nodes)``."""
        return self.kind_index >= 0

    @property
    def is_hard(self) -> BoolArray:
        """Targets that lose their parents, same shape."""
        return self._where("cuts_parents")

    @property
    def is_moved(self) -> BoolArray:
        """Targets whose mean is moved or set, same shape."""
        return self._where("moves_mean")

    @property
    def is_rescaled(self) -> BoolArray:
        """Targets whose noise changes, same shape."""
        return self._where("rescales_noise")

    def _where(self, attribute: str) -> BoolArray:
        # Index -1, where there is no target, picks the last entry.
        return np.array([getattr(kind, attribute) for kind in self.kinds] + [False])[
            self.kind_index
        ]

    @property
    def edge_probability(self) -> FloatArray:
        """Probability of each edge given the rest of the graph."""
        return _sigmoid(self.edge_evidence)

    @property
    def target_probability(self) -> FloatArray:
        """Posterior probability of each target given the graph."""
        return _sigmoid(self.target_evidence)


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
    return search.run(rng, n_restarts=chosen.n_restarts, start=start, callback=callback)


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

    def run(
        self,
        rng: np.random.Generator,
        *,
        n_restarts: int = 40,
        start: BoolArray | None = None,
        callback: Callable[[SearchProgress], None] | None = None,
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

        Returns
        -------
        The best graph. After Ctrl-C (``KeyboardInterrupt``) it is the best until then.
        """
        best = self.required.copy() if start is None else start | self.required
        best_score = self.total(best)
        trace: list[float] = []
        was_stopped = False
        graph = best.copy()
        try:
            for restart in range(n_restarts + 1):
                score = self.climb(graph)
                trace.append(score)
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
        return self.describe(best, tuple(trace), was_stopped=was_stopped)

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
        return sum(self._family(node, graph[:, node])[0] for node in range(len(graph)))

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
        families = [self._family(node, graph[:, node]) for node in range(len(graph))]
        current = np.array([family[0] for family in families])
        toggled = np.stack([family[1] for family in families], axis=1)
        while True:
            move = _best_move(graph, toggled - current, self.required)
            if move is None:
                return float(current.sum())
            for parent, child in move:
                graph[parent, child] = not graph[parent, child]
            for child in {child for _, child in move}:
                current[child], toggled[:, child] = self._family(child, graph[:, child])

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
        families = [self._family(node, graph[:, node]) for node in range(n_nodes)]
        current = np.array([family[0] for family in families])
        gain = current - np.stack([family[1] for family in families], axis=1)
        gain[~np.isfinite(gain)] = -np.inf
        reach = compute_reach(graph)
        evidence = np.where(graph, -gain, np.where(reach.T, -np.abs(gain) - 1e3, gain))
        coefficients = np.zeros((n_nodes * statistics.basis.n_functions, n_nodes))
        fits = [self._fit(node, graph[:, node]) for node in range(n_nodes)]
        for node, fit in enumerate(fits):
            columns = statistics.columns_of(np.flatnonzero(graph[:, node]))
            coefficients[columns, node] = fit.coefficients[0, :-1]
        state = np.stack([fit.state[0] for fit in fits], axis=1)
        costs = np.stack([fit.costs[:, 0] for fit in fits], axis=-1)
        ranked = np.sort(costs[1:], axis=0)
        runner_up = ranked[min(1, len(ranked) - 1)]
        return Structure(
            adjacency=graph,
            coefficients=coefficients,
            offset=np.array([fit.coefficients[0, -1] for fit in fits]),
            noise_variance=np.array([fit.noise_variance[0] for fit in fits]),
            kinds=self.score.kinds,
            kind_index=state - 1,
            target_evidence=_difference(costs[0], ranked[0]),
            kind_evidence=_difference(runner_up, ranked[0]),
            edge_evidence=evidence,
            score=float(current.sum()),
            trace=trace,
            was_stopped=was_stopped,
        )

    def _fit(self, node: int, is_parent: BoolArray) -> FamilyFit:
        return self.score.fit(np.array([node]), np.flatnonzero(is_parent)[None])

    def _family(self, node: int, is_parent: BoolArray) -> tuple[float, FloatArray]:
        """Score of a family and of each family that differs in one parent, from memory if known."""
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


def screen_parents(statistics: SufficientStatistics, n_candidates: int) -> BoolArray:
    """Keep the most promising parents of each node, so that a search stays affordable.

    Three quarters of them have the largest partial correlation within conditions (parents are in
    the Markov blanket), the others the largest correlation.

    Parameters
    ----------
    statistics
        Summary of the screen.
    n_candidates
        Parents to keep per node.

    Returns
    -------
    Whether parent → child is worth a try, shape ``(n_nodes, n_nodes)``; all pairs when there are no
    more than ``n_candidates`` others.
    """
    n_nodes = statistics.n_nodes
    everything = ~np.eye(n_nodes, dtype=bool)
    if n_nodes - 1 <= n_candidates:
        return everything
    scatter = statistics.within.sum(axis=-1)[:n_nodes, :n_nodes]
    sd = np.sqrt(np.diag(scatter))
    correlation = scatter / np.outer(sd, sd)
    ridge = np.sqrt(n_nodes / statistics.n_cells.sum()) * 0.1
    precision = np.linalg.inv(correlation + ridge * np.eye(n_nodes))
    scale = np.sqrt(np.diag(precision))
    partial = np.abs(precision / np.outer(scale, scale)) * everything
    chosen = _top(partial, int(PARTIAL_SHARE * n_candidates))
    rest = np.where(chosen, 0.0, np.abs(correlation) * everything)
    return chosen | _top(rest, n_candidates - int(PARTIAL_SHARE * n_candidates))


def _top(values: FloatArray, n_chosen: int) -> BoolArray:
    """Mark the largest entries of each column."""
    rank = (-values).argsort(axis=0).argsort(axis=0)
    return rank < n_chosen


def _best_move(
    graph: BoolArray, change: FloatArray, required: BoolArray
) -> list[tuple[int, int]] | None:
    """Find the toggles of the move that lowers the score most; ``None`` when none does."""
    reach = compute_reach(graph)
    free = graph & ~required
    adding = np.where(graph | reach.T, np.inf, change)
    removing = np.where(free, change, np.inf)
    # Turning i → j around closes no cycle if the edge is the only way from i to j.
    n_ways = graph.astype(np.float32) @ reach.astype(np.float32)
    turning = np.where(free & (n_ways == 1), change + change.T, np.inf)
    moves = (adding, removing, turning)
    lowest = [move.min() for move in moves]
    kind = int(np.argmin(lowest))
    if lowest[kind] > -MIN_GAIN:
        return None
    parent, child = divmod(int(moves[kind].argmin()), len(graph))
    return [(parent, child), (child, parent)] if kind == 2 else [(parent, child)]


def _difference(minuend: FloatArray, subtrahend: FloatArray) -> FloatArray:
    """Subtract costs of which one may be infinite."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(minuend - subtrahend, nan=0.0, posinf=1e3, neginf=-1e3)


def _sigmoid(x: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))
