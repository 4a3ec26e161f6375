from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scgim.scm._sufficient_statistics import FloatArray, SufficientStatistics

InterventionKind = Literal["shift", "hard", "auto"]

NONE, SHIFT, HARD = range(3)
RELATIVE_RIDGE = 1e-9
MIN_VARIANCE = 1e-12
MAX_FAMILIES_PER_BATCH = 512


@dataclass(frozen=True)
class PriorKnowledge:
    """What is known of edges and targets before the data are seen.

    Attributes
    ----------
    forbidden
        Edges that cannot be, ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    required
        Edges that must be, same shape.
    edge_log_odds
        Log-odds in nats in favour of each edge, same shape; 0 where nothing is known.
    targets
        Known targets, shape ``(n_perturbations, n_nodes)``: 1 a target, 0 not a target, -1 unknown.
    """

    forbidden: NDArray[np.bool_]
    required: NDArray[np.bool_]
    edge_log_odds: FloatArray
    targets: NDArray[np.int64]

    @classmethod
    def none(cls, n_nodes: int, n_perturbations: int) -> PriorKnowledge:
        """Know nothing.

        Parameters
        ----------
        n_nodes
            Number of nodes.
        n_perturbations
            Number of perturbations.

        Returns
        -------
        A prior that changes no score.
        """
        no_edge = np.zeros((n_nodes, n_nodes), dtype=bool)
        unknown = np.full((n_perturbations, n_nodes), -1)
        return cls(no_edge, no_edge.copy(), np.zeros((n_nodes, n_nodes)), unknown)


class FamilyFit(NamedTuple):
    """Fit of some nodes, each with its own parents, to the screen.

    Attributes
    ----------
    score
        Negative log-likelihood plus penalties, in nats, shape ``(n_families,)``; lower is better.
    state
        What each perturbation does to the node: 0 nothing, 1 shift, 2 hard, shape
        ``(n_families, n_perturbations)``.
    costs
        Cost of each state in nats, shape ``(3, n_families, n_perturbations)``; infinite where the
        state is not allowed.
    coefficients
        Of the parents' basis functions, then the intercept, shape ``(n_families, n_columns + 1)``.
    noise_variance
        Variance of the exogenous noise, shape ``(n_families,)``.
    """

    score: FloatArray
    state: NDArray[np.int64]
    costs: FloatArray
    coefficients: FloatArray
    noise_variance: FloatArray


class StructureScore:
    r"""Score of a node and its parents when the targets of perturbations are unknown.

    For node j with parents P it is the minimum over coefficients and over what each perturbation g
    does to the node of

    .. math::
        \sum_{g\ \text{not hard}} \Big[\tfrac{N_g}{2}\log\sigma^2
        + \tfrac{a_g + [g\ \text{none}]\, b_g}{2\sigma^2}\Big]
        + \sum_{g\ \text{hard}} \tfrac{N_g}{2}(\log v_g + 1)
        + \sum_{g\ \text{not none}} \lambda_g + \sum_{i \in P} \kappa_{ij},

    with the extended Bayesian information criterion :math:`\kappa = \tfrac12 m\log N + \log(d - 1)`
    per edge of m basis functions (Chen and Chen 2008, their :math:`\gamma = 1`). Here
    :math:`a_g` is the scatter of the residual within conditions and :math:`b_g` that of its
    condition means: a shift explains the means only, a hard intervention (own mean and variance
    :math:`v_g`) also sets the node free from its parents. A truncated quadratic, minimised by
    alternating between regression and target choice. Scores add up over the nodes of a graph.

    Parameters
    ----------
    statistics
        Summary of the screen.
    prior
        Known edges and targets.
    kind
        ``"shift"``, ``"hard"``, or ``"auto"``, which chooses per target by evidence.
    edge_penalty
        Cost of an edge, in units of the extended Bayesian information criterion.
    n_alternations
        Alternations at most.
    """

    def __init__(
        self,
        statistics: SufficientStatistics,
        prior: PriorKnowledge,
        *,
        kind: InterventionKind = "shift",
        edge_penalty: float = 1.0,
        n_alternations: int = 6,
    ) -> None:
        self.statistics = statistics
        self.kind = kind
        self.n_alternations = n_alternations
        self.within_total = statistics.within.sum(axis=-1)
        price = 0.5 * statistics.basis.n_functions * np.log(statistics.n_cells.sum())
        price += np.log(max(statistics.n_nodes - 1, 1))
        self.edge_cost = edge_penalty * price - prior.edge_log_odds
        self.state_cost = _state_costs(statistics, prior.targets, kind)
        own = np.arange(statistics.n_nodes)
        freed = statistics.within[own, own] / statistics.n_cells
        n_cells = statistics.n_cells
        self.hard_cost = 0.5 * n_cells * (np.log(np.maximum(freed, MIN_VARIANCE)) + 1)

    def fit(self, nodes: NDArray[np.int64], parents: NDArray[np.int64]) -> FamilyFit:
        """Fit families that have the same number of parents.

        Parameters
        ----------
        nodes
            Child of each family, shape ``(n_families,)``.
        parents
            Its parents, shape ``(n_families, n_parents)``.

        Returns
        -------
        The fit.
        """
        starts = range(0, max(len(nodes), 1), MAX_FAMILIES_PER_BATCH)
        parts = [
            self._fit_batch(
                nodes[start : start + MAX_FAMILIES_PER_BATCH],
                parents[start : start + MAX_FAMILIES_PER_BATCH],
            )
            for start in starts
        ]
        if len(parts) == 1:
            return parts[0]
        return FamilyFit(
            score=np.concatenate([part.score for part in parts]),
            state=np.concatenate([part.state for part in parts]),
            costs=np.concatenate([part.costs for part in parts], axis=1),
            coefficients=np.concatenate([part.coefficients for part in parts]),
            noise_variance=np.concatenate([part.noise_variance for part in parts]),
        )

    def _fit_batch(self, nodes: NDArray[np.int64], parents: NDArray[np.int64]) -> FamilyFit:
        fits = [self._alternate(nodes, parents, start) for start in self._starts(nodes)]
        best = fits[0]
        for other in fits[1:]:
            better = other.score < best.score
            best = FamilyFit(
                score=np.where(better, other.score, best.score),
                state=np.where(better[:, None], other.state, best.state),
                costs=np.where(better[:, None], other.costs, best.costs),
                coefficients=np.where(better[:, None], other.coefficients, best.coefficients),
                noise_variance=np.where(better, other.noise_variance, best.noise_variance),
            )
        return best

    def _starts(self, nodes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """States to start from: free of unknown targets, so that none can bias the regression."""
        allowed = np.isfinite(self.state_cost[:, nodes])
        shift_first = np.where(allowed[SHIFT], SHIFT, np.where(allowed[HARD], HARD, NONE))
        if self.kind != "auto":
            return [shift_first]
        return [shift_first, np.where(allowed[HARD], HARD, shift_first)]

    def _alternate(
        self, nodes: NDArray[np.int64], parents: NDArray[np.int64], state: NDArray[np.int64]
    ) -> FamilyFit:
        statistics = self.statistics
        columns = statistics.columns_of(parents)
        intercept = np.full((len(nodes), 1), len(self.within_total) - 1)
        columns = np.concatenate([columns, intercept, nodes[:, None]], axis=1)
        rows, cols = columns[:, :, None], columns[:, None, :]
        shape = (len(nodes), columns.shape[1] ** 2, -1)
        between = statistics.between[rows, cols].reshape(shape)
        fixed = self.within_total[rows, cols].reshape(shape[:2])
        within = None if self.kind == "shift" else statistics.within[rows, cols].reshape(shape)
        hard_cost = self.hard_cost[nodes]
        state_cost = self.state_cost[:, nodes]
        n_cells = statistics.n_cells
        for left in reversed(range(self.n_alternations)):
            gram = (
                fixed
                if within is None
                else (within @ (state != HARD)[..., None].astype(float))[..., 0]
            )
            gram = gram + (between @ (state == NONE)[..., None].astype(float))[..., 0]
            contrast, scatter = _regress(gram, columns.shape[1])
            kept = (state != HARD) @ n_cells
            variance = np.maximum(scatter / kept, MIN_VARIANCE)
            outer = (contrast[:, :, None] * contrast[:, None, :]).reshape(*shape[:2], 1)
            means = (outer * between).sum(axis=1) / (2 * variance[:, None])
            base = np.zeros_like(means)
            if within is not None:
                base = (outer * within).sum(axis=1) / (2 * variance[:, None])
                base += 0.5 * n_cells * np.log(variance[:, None])
            costs = state_cost + np.stack([base + means, base, hard_cost])
            proposal = costs.argmin(axis=0)
            if not left or (proposal == state).all():
                break
            state = proposal
        chosen = np.take_along_axis(state_cost, state[None], axis=0)[0]
        chosen = chosen + np.where(state == HARD, hard_cost, 0.0)
        score = 0.5 * kept * (np.log(variance) + 1) + chosen.sum(axis=1)
        score += self.edge_cost[parents, nodes[:, None]].sum(axis=1)
        return FamilyFit(score, state[:, :-1], costs[..., :-1], -contrast[:, :-1], variance)


def _state_costs(
    statistics: SufficientStatistics, targets: NDArray[np.int64], kind: InterventionKind
) -> FloatArray:
    """Penalty of each state, ``(3, n_nodes, n_perturbations + 1)``; infinite where not allowed."""
    n_groups = statistics.n_perturbations + 1
    cost = np.zeros((3, statistics.n_nodes, n_groups))
    cost[SHIFT:, :, :-1] = statistics.target_penalty
    # A hard intervention has a variance of its own: one more parameter.
    cost[HARD] += 0.5 * np.log(statistics.n_cells)
    cost[SHIFT:, :, -1] = np.inf
    if kind == "shift":
        cost[HARD] = np.inf
    if kind == "hard":
        cost[SHIFT] = np.inf
    cost[NONE, :, :-1][targets.T == 1] = np.inf
    cost[SHIFT:, :, :-1][:, targets.T == 0] = np.inf
    return cost


def _regress(gram: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Regress the last column on the others.

    Returns the contrast ``(-coefficients, 1)`` and the scatter of what is left.
    """
    gram = gram.reshape(-1, size, size)
    inner, target = gram[:, :-1, :-1], gram[:, :-1, -1:]
    diagonal = np.arange(size - 1)
    inner = inner.copy()
    inner[:, diagonal, diagonal] *= 1 + RELATIVE_RIDGE
    coefficients = np.linalg.solve(inner, target)
    contrast = np.concatenate([-coefficients[..., 0], np.ones((len(gram), 1))], axis=1)
    return contrast, np.einsum("bi,bij,bj->b", contrast, gram, contrast)
