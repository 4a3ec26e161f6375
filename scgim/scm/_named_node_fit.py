from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import networkx as nx
import numpy as np

from scgim.scm._mlp_mechanism import fit_mlp_mechanism
from scgim.scm._potency_model import PotencyModel, ShiftObservations
from scgim.scm._structure_score import PriorKnowledge, StructureScore
from scgim.scm._structure_search import (
    SearchSettings,
    Structure,
    StructureSearch,
    search_structure,
)
from scgim.scm._sufficient_statistics import (
    compute_sufficient_statistics,
    compute_target_penalty,
)
from scgim.scm._target_prediction import TargetPredictor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scgim.scm._structure_search import SearchProgress
    from scgim.scm._sufficient_statistics import FloatArray

    BoolArray = NDArray[np.bool_]

N_CELLS_FOR_MEAN = 1000
HARD_PRIOR_WEIGHT = 1.0
MAX_EVIDENCE = 1e3


@dataclass(frozen=True)
class NamedNodeScreen:
    """A screen whose measured variables are the nodes.

    Attributes
    ----------
    values
        Node values of cells, standardised by the control cells, shape ``(n_cells, n_nodes)``.
    condition
        Condition of each cell, shape ``(n_cells,)``.
    perturbation
        Perturbation of each condition, shape ``(n_conditions,)``; -1 for control.
    log10_dose
        Dose of each condition, log10; infinity where there is no dose.
    features
        Features of the perturbations, shape ``(n_perturbations, n_features)``, or ``None``.
    """

    values: FloatArray
    condition: NDArray[np.int64]
    perturbation: NDArray[np.int64]
    log10_dose: FloatArray
    features: FloatArray | None = None

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return int(self.values.shape[1])

    @property
    def n_perturbations(self) -> int:
        """Perturbations, the control not counted."""
        return int(self.perturbation.max()) + 1

    def condition_means(self, values: FloatArray) -> FloatArray:
        """Average over the cells of each condition.

        Parameters
        ----------
        values
            One row per cell.

        Returns
        -------
        One row per condition.
        """
        total = np.zeros((len(self.perturbation), values.shape[1]))
        np.add.at(total, self.condition, values)
        means: FloatArray = total / self.condition_sizes[:, None]
        return means

    @property
    def condition_sizes(self) -> FloatArray:
        """Cells per condition, at least 1."""
        sizes = np.bincount(self.condition, minlength=len(self.perturbation))
        return np.maximum(sizes, 1).astype(float)


class NodeMechanism(Protocol):
    """How every node follows its parents."""

    @property
    def noise_variance(self) -> FloatArray:
        """Variances of the exogenous noise, shape ``(n_nodes,)``."""

    def mean(self, node: int, values: FloatArray) -> FloatArray:
        """Mean of a node given the others, ``(n_cells, n_nodes)`` -> ``(n_cells,)``."""


@dataclass(frozen=True)
class LinearNodeMechanism:
    """Linear mechanisms between named nodes, with one noise scale per node.

    Attributes
    ----------
    weights
        ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    offset
        Shape ``(n_nodes,)``.
    noise_variance
        Shape ``(n_nodes,)``.
    """

    weights: FloatArray
    offset: FloatArray
    noise_variance: FloatArray

    def mean(self, node: int, values: FloatArray) -> FloatArray:
        """Mean of a node given its parents.

        Parameters
        ----------
        node
            Node.
        values
            Values of all nodes, shape ``(n_cells, n_nodes)``.

        Returns
        -------
        Means, shape ``(n_cells,)``.
        """
        mean: FloatArray = values @ self.weights[:, node] + self.offset[node]
        return mean


class NodeInterventions(NamedTuple):
    """What is done to every node, one row per condition.

    Attributes
    ----------
    probability
        That the node is targeted, shape ``(n_conditions, n_nodes)``.
    value
        Shift of a shifted target, mean of a hard one, same shape.
    is_hard
        Whether a target is replaced rather than shifted, same shape.
    noise_scale
        Factor on the noise of hard targets, same shape.
    """

    probability: FloatArray
    value: FloatArray
    is_hard: BoolArray
    noise_scale: FloatArray

    @classmethod
    def do(
        cls, value: FloatArray, is_target: BoolArray, *, is_hard: bool, noise_scale: float = 0.0
    ) -> NodeInterventions:
        """Intervene by hand.

        Parameters
        ----------
        value
            Shift, or the value to set, shape ``(n_conditions, n_nodes)``.
        is_target
            Which nodes, same shape.
        is_hard
            Set the nodes and cut their parents, instead of shifting them.
        noise_scale
            Noise that is left to a node that is set; 0 clamps it.

        Returns
        -------
        The interventions.
        """
        return cls(
            is_target.astype(float),
            value,
            np.full(value.shape, is_hard),
            np.full(value.shape, noise_scale),
        )


@dataclass(frozen=True)
class NamedNodeModel:
    """A causal model of named nodes with a generator of interventions.

    Attributes
    ----------
    structure
        Graph, targets and evidence.
    mechanism
        How nodes follow their parents.
    potency
        How strong a perturbation is.
    predictor
        Features → targets; ``None`` without features.
    feature_center, feature_scale
        Standardisation of features.
    hard_share
        Share of hard interventions among the targets of each node, shape ``(n_nodes,)``.
    hard_noise_scale
        Noise left to a node that is set, relative to its own.
    """

    structure: Structure
    mechanism: NodeMechanism
    potency: PotencyModel
    predictor: TargetPredictor | None
    feature_center: FloatArray
    feature_scale: FloatArray
    hard_share: FloatArray
    hard_noise_scale: float

    def seen(self, perturbation: NDArray[np.int64], log10_dose: FloatArray) -> NodeInterventions:
        """Interventions of seen perturbations at any dose.

        Parameters
        ----------
        perturbation
            Row of each condition's perturbation; -1 for control.
        log10_dose
            Dose, log10; infinity is saturation, minus infinity is dose 0.

        Returns
        -------
        The interventions; those of the control are empty.
        """
        treated = (perturbation >= 0)[:, None]
        rows, extra = self.potency.rows[perturbation], self.potency.extra[perturbation]
        is_target = self.structure.is_target[perturbation] & treated
        return NodeInterventions(
            probability=is_target.astype(float),
            value=np.where(is_target, self.potency.shift(rows, log10_dose, extra), 0.0),
            is_hard=self.structure.is_hard[perturbation] & treated,
            noise_scale=np.full(is_target.shape, self.hard_noise_scale),
        )

    def unseen(self, features: FloatArray, log10_dose: FloatArray) -> NodeInterventions:
        """Interventions of unseen perturbations, from their features.

        Parameters
        ----------
        features
            Features of each condition's perturbation, shape ``(n_conditions, n_features)``.
        log10_dose
            Dose, log10.

        Returns
        -------
        The interventions, with probabilities of the targets.
        """
        if self.predictor is None:
            msg = (
                "The model was fitted without features. Fit it with features of the perturbations."
            )
            raise RuntimeError(msg)
        scaled = (features - self.feature_center) / self.feature_scale
        probability = self.predictor.probability(scaled)
        value = self.potency.shift(self.potency.predict_rows(scaled), log10_dose)
        return NodeInterventions(
            probability=probability,
            value=value,
            is_hard=np.broadcast_to(self.hard_share > 0.5, probability.shape),
            noise_scale=np.full(probability.shape, self.hard_noise_scale),
        )

    def mean(
        self,
        interventions: NodeInterventions,
        rng: np.random.Generator,
        n_cells: int = N_CELLS_FOR_MEAN,
    ) -> FloatArray:
        """Mean of every node under interventions.

        In closed form for linear mechanisms and otherwise over simulated cells.

        Parameters
        ----------
        interventions
            One row per condition.
        rng
            Source of randomness of the simulated cells.
        n_cells
            Simulated cells per condition.

        Returns
        -------
        Means, shape ``(n_conditions, n_nodes)``.
        """
        if isinstance(self.mechanism, LinearNodeMechanism):
            return compute_linear_mean(self.mechanism, interventions)
        cells = self.sample(interventions, n_cells, rng)
        means: FloatArray = cells.mean(axis=1)
        return means

    def sample(
        self, interventions: NodeInterventions, n_cells: int, rng: np.random.Generator
    ) -> FloatArray:
        """Simulate cells, node by node in causal order.

        Parameters
        ----------
        interventions
            One row per condition.
        n_cells
            Cells per condition.
        rng
            Source of randomness.

        Returns
        -------
        Node values, shape ``(n_conditions, n_cells, n_nodes)``.
        """
        n_conditions, n_nodes = interventions.value.shape
        shape = (n_conditions * n_cells, n_nodes)
        each = np.repeat(np.arange(n_conditions), n_cells)
        is_target = rng.random(shape) < interventions.probability[each]
        is_cut = is_target & interventions.is_hard[each]
        value = np.where(is_target, interventions.value[each], 0.0)
        noise = rng.standard_normal(shape) * np.sqrt(self.mechanism.noise_variance)
        noise *= np.where(is_cut, interventions.noise_scale[each], 1.0)
        cells = np.zeros(shape)
        for node in causal_order(self.structure.adjacency):
            mean = np.where(is_cut[:, node], 0.0, self.mechanism.mean(node, cells))
            cells[:, node] = mean + value[:, node] + noise[:, node]
        return cells.reshape(n_conditions, n_cells, n_nodes)


def causal_order(adjacency: BoolArray) -> list[int]:
    """Order nodes so that parents come before children.

    Parameters
    ----------
    adjacency
        Acyclic graph, ``[parent, child]``.

    Returns
    -------
    The nodes in a causal order.
    """
    return list(nx.topological_sort(nx.from_numpy_array(adjacency, create_using=nx.DiGraph)))


def fit_named_nodes(
    screen: NamedNodeScreen,
    rng: np.random.Generator,
    *,
    mechanism: Literal["linear", "mlp"] = "linear",
    settings: SearchSettings | None = None,
    prior: PriorKnowledge | None = None,
    graph: BoolArray | None = None,
    callback: Callable[[SearchProgress], None] | None = None,
) -> NamedNodeModel:
    """Find graph and targets, then fit mechanisms and the generator of interventions.

    Parameters
    ----------
    screen
        The data.
    rng
        Source of restarts and of initial weights.
    mechanism
        ``"linear"``, or ``"mlp"``: search with additive splines, then fit networks.
    settings
        How to search.
    prior
        What is known of edges and targets.
    graph
        A known acyclic graph, ``[parent, child]``: nothing is searched but the targets.
    callback
        Told after each climb where the search stands.

    Returns
    -------
    The fitted model.
    """
    statistics = compute_sufficient_statistics(
        screen.values, screen.condition, screen.perturbation, is_linear=mechanism == "linear"
    )
    chosen = settings or SearchSettings()
    known = prior or PriorKnowledge.none(screen.n_nodes, screen.n_perturbations)
    if graph is None:
        structure = search_structure(
            statistics, rng, settings=chosen, prior=known, callback=callback
        )
    else:
        score = StructureScore(
            statistics, known, kind=chosen.kind, edge_penalty=chosen.edge_penalty
        )
        structure = StructureSearch(score, graph, graph).describe(graph)
    fitted = fit_mechanism(screen, structure, mechanism, rng)
    structure = reassess_targets(screen, structure, fitted, known.targets)
    return fit_generator(screen, structure, fitted)


def fit_mechanism(
    screen: NamedNodeScreen,
    structure: Structure,
    kind: Literal["linear", "mlp"],
    rng: np.random.Generator,
) -> NodeMechanism:
    """Fit the mechanisms of a graph with known targets.

    Parameters
    ----------
    screen
        The data.
    structure
        Graph and targets; its linear mechanisms are final already.
    kind
        ``"linear"`` or ``"mlp"``.
    rng
        Source of initial weights.

    Returns
    -------
    The mechanisms.
    """
    if kind == "linear":
        weights = structure.coefficients[: screen.n_nodes]
        return LinearNodeMechanism(weights, structure.offset, structure.noise_variance)
    # The last row stands for the control, which perturbation -1 picks.
    none = np.zeros((1, screen.n_nodes), dtype=bool)
    is_hard = np.vstack([structure.is_hard, none])[screen.perturbation]
    is_target = np.vstack([structure.is_target, none])[screen.perturbation]
    return fit_mlp_mechanism(
        screen.values,
        screen.condition,
        structure.adjacency,
        is_shifted=is_target & ~is_hard,
        is_replaced=is_hard,
        seed=int(rng.integers(2**31)),
    )


def reassess_targets(
    screen: NamedNodeScreen,
    structure: Structure,
    mechanism: NodeMechanism,
    known_targets: NDArray[np.int64],
) -> Structure:
    r"""Decide on shifted targets again, by mechanisms that may be richer than those of the search.

    The evidence for a target is :math:`\sum_c n_c \bar r_c^2 / 2\sigma^2` less the price of its shifts.
    Features have no say: where one perturbation alone hits a node they would speak against it.

    Parameters
    ----------
    screen
        The data.
    structure
        Graph and targets as the search left them.
    mechanism
        Fitted mechanisms, perhaps richer than those of the search.
    known_targets
        As in :class:`PriorKnowledge`; known entries stay.

    Returns
    -------
    The structure with targets and target evidence renewed; hard targets stay hard.
    """
    residual = screen.condition_means(_residuals(screen, mechanism))
    sizes, owner = screen.condition_sizes, screen.perturbation
    explained = sizes[:, None] * residual**2 / (2 * mechanism.noise_variance)
    evidence = np.zeros(structure.is_target.shape)
    treated = owner >= 0
    np.add.at(evidence, owner[treated], explained[treated])
    evidence -= compute_target_penalty(sizes, owner, screen.n_nodes)[:, None]
    evidence = np.where(structure.is_hard, structure.target_evidence, evidence)
    evidence[known_targets == 1] = MAX_EVIDENCE
    evidence[known_targets == 0] = -MAX_EVIDENCE
    return replace(structure, is_target=evidence > 0, target_evidence=evidence)


def _residuals(screen: NamedNodeScreen, mechanism: NodeMechanism) -> FloatArray:
    means = [mechanism.mean(node, screen.values) for node in range(screen.n_nodes)]
    return screen.values - np.column_stack(means)


def fit_generator(
    screen: NamedNodeScreen, structure: Structure, mechanism: NodeMechanism
) -> NamedNodeModel:
    """Fit the generator of interventions to what the mechanisms leave unexplained.

    Parameters
    ----------
    screen
        The data.
    structure
        Graph and targets.
    mechanism
        Mechanisms.

    Returns
    -------
    The model.
    """
    n_nodes, values = screen.n_nodes, screen.values
    means = screen.condition_means(values)
    spread = screen.condition_means(values**2) - means**2
    is_hard = structure.is_hard[screen.perturbation] & (screen.perturbation >= 0)[:, None]
    observed = np.where(is_hard, means, screen.condition_means(_residuals(screen, mechanism)))
    variance = np.where(is_hard, spread, mechanism.noise_variance)
    observations = ShiftObservations.from_conditions(
        observed,
        np.maximum(variance, 1e-8) / screen.condition_sizes[:, None],
        screen.perturbation,
        screen.log10_dose,
        structure.is_target,
    )
    center, scale, scaled = _standardize(screen.features)
    return NamedNodeModel(
        structure=structure,
        mechanism=mechanism,
        potency=PotencyModel.fit(
            observations, scaled, n_perturbations=screen.n_perturbations, n_nodes=n_nodes
        ),
        predictor=None if scaled is None else TargetPredictor.fit(scaled, structure.is_target),
        feature_center=center,
        feature_scale=scale,
        hard_share=_hard_share(structure),
        hard_noise_scale=_hard_noise_scale(spread, is_hard, mechanism.noise_variance),
    )


def _standardize(
    features: FloatArray | None,
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    if features is None:
        return np.zeros(0), np.ones(0), None
    center, sd = features.mean(axis=0), features.std(axis=0)
    scale = np.where(sd > 0, sd, 1.0)
    return center, scale, (features - center) / scale


def _hard_share(structure: Structure) -> FloatArray:
    """Share of hard interventions per node, drawn towards the share over all nodes."""
    n_targets = structure.is_target.sum(axis=0)
    overall = structure.is_hard.sum() / max(int(structure.is_target.sum()), 1)
    n_hard = structure.is_hard.sum(axis=0)
    share: FloatArray = (n_hard + HARD_PRIOR_WEIGHT * overall) / (n_targets + HARD_PRIOR_WEIGHT)
    return share


def _hard_noise_scale(spread: FloatArray, is_hard: BoolArray, noise_variance: FloatArray) -> float:
    if not is_hard.any():
        return 1.0
    return float(np.sqrt(np.median((spread / noise_variance)[is_hard])))


def compute_linear_mean(mechanism: LinearNodeMechanism, what: NodeInterventions) -> FloatArray:
    """Mean of every node of a linear model under interventions.

    Exact where targets are certain; otherwise targets enter by their probability, which is exact for
    shifts and an approximation for hard interventions.

    Parameters
    ----------
    mechanism
        Linear mechanisms of an acyclic graph.
    what
        One row per condition.

    Returns
    -------
    Means, shape ``(n_conditions, n_nodes)``.
    """
    kept: FloatArray = 1 - what.probability * what.is_hard
    exogenous = kept * mechanism.offset + what.probability * what.value
    # z = (z A) diag(kept) + exogenous, solved for each condition.
    system = np.eye(len(mechanism.offset)) - mechanism.weights * kept[:, None, :]
    transposed = np.swapaxes(system, 1, 2)
    solved = np.linalg.solve(transposed, exogenous[..., None])[..., 0]
    return np.asarray(solved, dtype=np.float64)
