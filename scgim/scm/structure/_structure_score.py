from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scgim.scm._intervention_kinds import MIN_VARIANCE, NONE, GroupResiduals, resolve_kinds

if TYPE_CHECKING:
    from scgim._types import FloatArray, IntArray
    from scgim.scm._intervention_kinds import InterventionKind, InterventionKindName
    from scgim.scm._sufficient_statistics import SufficientStatistics
    from scgim.scm.structure._prior_knowledge import PriorKnowledge

# Keeps regressions on collinear parents solvable, relative to the scatter of each.
RELATIVE_RIDGE = 1e-9
# Families that are scored at once, which bounds memory.
MAX_FAMILIES_PER_BATCH = 512
# Rounds that weights of rescaled cells get to settle after the targets have; chosen, not tuned.
N_REWEIGHTINGS = 3


class FamilyFit(NamedTuple):
    """Fit of some nodes, each with its own parents, to the screen.

    Attributes
    ----------
    score
        Negative log-likelihood plus penalties, in nats, shape ``(n_families,)``; lower is better.
    state
        What each perturbation does to the node: 0 nothing, otherwise the kind of the intervention,
        counted from 1, shape ``(n_families, n_perturbations)``.
    costs
        Cost of each state in nats, shape ``(n_kinds + 1, n_families, n_perturbations)``; infinite
        where the state is not allowed.
    coefficients
        Of the parents' basis functions, then the intercept, shape ``(n_families, n_columns + 1)``.
    noise_variance
        Variance of the exogenous noise, shape ``(n_families,)``.
    """

    score: FloatArray
    state: IntArray
    costs: FloatArray
    coefficients: FloatArray
    noise_variance: FloatArray


class StructureScore:
    r"""Score of a node and its parents when the targets of perturbations are unknown.

    For node j with parents P it is the minimum over coefficients and over what each perturbation g
    does to the node of

    .. math::
        \sum_{g} \Big[\tfrac{N_g}{2}\log\sigma_g^2 + \tfrac{a_g}{2\sigma_g^2} + \lambda_g\Big]
        + \sum_{i \in P} \kappa_{ij},

    with the extended Bayesian information criterion :math:`\kappa = \tfrac12 m\log N + \log(d - 1)`
    per edge of m basis functions (Chen and Chen 2008, their :math:`\gamma = 1`). The kind of the
    intervention says what the scatter :math:`a_g` is and whether :math:`\sigma_g` is the node's own
    noise (:class:`InterventionKind`): without one it is that of the residual, a shift explains the
    means of conditions, a hard intervention also sets the node free from its parents, with a
    variance of its own. A truncated quadratic, minimised by alternating between regression and the
    choice of targets. Scores add up over the nodes of a graph.

    Parameters
    ----------
    statistics
        Summary of the screen.
    prior
        Known edges and targets.
    kind
        Kinds of interventions to choose from per target by evidence, or a name that stands for some:
        ``"shift"``, ``"hard"``, ``"scale"``, ``"auto"`` (shift or hard), ``"any"``.
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
        kind: InterventionKindName | tuple[InterventionKind, ...] = "shift",
        edge_penalty: float = 1.0,
        n_alternations: int = 6,
    ) -> None:
        self.statistics = statistics
        self.kinds = resolve_kinds(kind)
        self.states = (NONE, *self.kinds)
        self.n_alternations = n_alternations
        self.within_total = statistics.within.sum(axis=-1)
        price = 0.5 * statistics.basis.n_functions * np.log(statistics.n_cells.sum())
        price += np.log(max(statistics.n_nodes - 1, 1))
        self.edge_cost = edge_penalty * price - prior.edge_log_odds
        self.state_cost = _state_costs(statistics, prior.targets, self.kinds)
        # Where noise and parents stay as they are, scatter within conditions needs no targets.
        self.keeps_within = not any(kind.rescales_noise or kind.cuts_parents for kind in self.kinds)
        self.is_reweighted = any(
            kind.rescales_noise and not kind.cuts_parents for kind in self.kinds
        )

    def fit(self, nodes: IntArray, parents: IntArray) -> FamilyFit:
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

    def _fit_batch(self, nodes: IntArray, parents: IntArray) -> FamilyFit:
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

    def _starts(self, nodes: IntArray) -> list[IntArray]:
        """States to start from: free of unknown targets, so that none can bias the regression.

        Every perturbation starts as an intervention of the same kind, once per kind, or of the first
        kind that is allowed.
        """
        allowed = np.isfinite(self.state_cost[:, nodes])
        allowed[0] = False
        first = np.where(allowed.any(axis=0), allowed.argmax(axis=0), 0)
        return [np.where(allowed[kind], kind, first) for kind in range(1, len(self.states))]

    def _alternate(self, nodes: IntArray, parents: IntArray, state: IntArray) -> FamilyFit:
        moments = self._moments(nodes, parents)
        state_cost = self.state_cost[:, nodes]
        weights = self._start_weights(state)
        for left in reversed(range(self.n_alternations)):
            contrast, scatter = _regress(moments.gram(*weights), moments.size)
            residuals = self._residuals(moments, contrast, scatter, state)
            costs = state_cost + np.stack([kind.cost(residuals) for kind in self.states])
            proposal = costs.argmin(axis=0)
            is_settled = (proposal == state).all()
            if self.is_reweighted:
                is_settled &= left < self.n_alternations - N_REWEIGHTINGS
            if is_settled or not left:
                break
            state = proposal
            weights = self._weights(residuals, state)
        score = np.take_along_axis(costs, state[None], axis=0)[0].sum(axis=1)
        score += self.edge_cost[parents, nodes[:, None]].sum(axis=1)
        return FamilyFit(
            score, state[:, :-1], costs[..., :-1], -contrast[:, :-1], residuals.variance[:, 0]
        )

    def _moments(self, nodes: IntArray, parents: IntArray) -> _Moments:
        statistics = self.statistics
        intercept = np.full((len(nodes), 1), len(self.within_total) - 1)
        columns = np.concatenate(
            [statistics.columns_of(parents), intercept, nodes[:, None]], axis=1
        )
        rows, cols = columns[:, :, None], columns[:, None, :]
        size = columns.shape[1]
        shape = (len(nodes), size**2, -1)
        return _Moments(
            size=size,
            within_total=self.within_total[rows, cols].reshape(shape[:2]),
            within=None if self.keeps_within else statistics.within[rows, cols].reshape(shape),
            between=statistics.between[rows, cols].reshape(shape),
            own=statistics.within[nodes, nodes],
        )

    def _start_weights(self, state: IntArray) -> tuple[FloatArray, FloatArray]:
        """Weights before any residual is known: cells with a noise of their own stay out."""
        in_within = [not (kind.cuts_parents or kind.rescales_noise) for kind in self.states]
        in_between = [not kind.moves_mean and not kind.rescales_noise for kind in self.states]
        return np.array(in_within, dtype=float)[state], np.array(in_between, dtype=float)[state]

    def _weights(self, residuals: GroupResiduals, state: IntArray) -> tuple[FloatArray, FloatArray]:
        within, between = self._start_weights(state)
        if self.is_reweighted:
            for index, kind in enumerate(self.states):
                one, other = kind.weights(residuals)
                within = np.where(state == index, one, within)
                between = np.where(state == index, other, between)
        return within, between

    def _residuals(
        self,
        moments: _Moments,
        contrast: FloatArray,
        scatter: FloatArray,
        state: IntArray,
    ) -> GroupResiduals:
        """Scatter of what is left, and the variance of the noise that the states share."""
        n_cells = self.statistics.n_cells
        outer = (contrast[:, :, None] * contrast[:, None, :]).reshape(len(contrast), -1, 1)
        between = (outer * moments.between).sum(axis=1)
        if moments.within is None:
            variance = np.maximum(scatter / n_cells.sum(), MIN_VARIANCE)[:, None]
            within = _share_out(scatter - (between * (state == 0)).sum(axis=1), n_cells)
            return GroupResiduals(within, between, moments.own, n_cells, variance)
        within = (outer * moments.within).sum(axis=1)
        residuals = GroupResiduals(within, between, moments.own, n_cells, np.ones((1, 1)))
        pooled, kept = np.zeros(len(contrast)), np.zeros(len(contrast))
        for index, kind in enumerate(self.states):
            if not kind.rescales_noise:
                pooled += (kind.scatter(residuals) * (state == index)).sum(axis=1)
                kept += (state == index) @ n_cells
        variance = np.maximum(pooled / np.maximum(kept, 1.0), MIN_VARIANCE)[:, None]
        return residuals._replace(variance=variance)


class _Moments(NamedTuple):
    """Second moments of families: parents' basis functions, intercept, node."""

    size: int
    within_total: FloatArray  # (n_families, size ** 2)
    within: FloatArray | None  # (n_families, size ** 2, n_perturbations + 1), if it matters
    between: FloatArray  # same shape
    own: FloatArray  # (n_families, n_perturbations + 1)

    def gram(self, within_weight: FloatArray, between_weight: FloatArray) -> FloatArray:
        """Weigh and add the moments of the perturbations, ``(n_families, size ** 2)``."""
        gram = self.within_total
        if self.within is not None:
            gram = (self.within @ within_weight[..., None])[..., 0]
        weighed: FloatArray = gram + (self.between @ between_weight[..., None])[..., 0]
        return weighed


def _share_out(total: FloatArray, n_cells: FloatArray) -> FloatArray:
    """Scatter per perturbation where only the total is needed: every cell has its share."""
    shared: FloatArray = total[:, None] * n_cells / n_cells.sum()
    return shared


def _state_costs(
    statistics: SufficientStatistics,
    targets: IntArray,
    kinds: tuple[InterventionKind, ...],
) -> FloatArray:
    """Price of each state, ``(n_kinds + 1, n_nodes, n_perturbations + 1)``; infinite if not allowed."""
    cost = np.zeros((len(kinds) + 1, statistics.n_nodes, statistics.n_perturbations + 1))
    for index, kind in enumerate(kinds):
        cost[index + 1, :, :-1] = kind.price(statistics)
    cost[1:, :, -1] = np.inf
    cost[0, :, :-1][targets.T == 1] = np.inf
    cost[1:, :, :-1][:, targets.T == 0] = np.inf
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
