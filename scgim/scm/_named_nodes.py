from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import networkx as nx
import numpy as np

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray
    from scgim.scm.generator._efficacy_model import EfficacyModel
    from scgim.scm.generator._target_prediction import TargetPredictor
    from scgim.scm.structure._structure import Structure

N_CELLS_FOR_MEAN = 1000
MIN_NOISE_SCALE = 1e-3


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
    condition: IntArray
    perturbation: IntArray
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
        Factor on the noise of targets, same shape.
    """

    probability: FloatArray
    value: FloatArray
    is_hard: BoolArray
    noise_scale: FloatArray

    @classmethod
    def do(
        cls,
        value: FloatArray,
        is_target: BoolArray,
        *,
        is_hard: bool,
        noise_scale: float | None = None,
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
            Factor on the noise of the targets; by default 0 for nodes that are set, which clamps
            them, and 1 for others.

        Returns
        -------
        The interventions.
        """
        scale = (0.0 if is_hard else 1.0) if noise_scale is None else noise_scale
        return cls(
            is_target.astype(float),
            value,
            np.full(value.shape, is_hard),
            np.full(value.shape, scale),
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
    efficacy
        How strong a perturbation is.
    predictor
        Features → targets; ``None`` without features.
    feature_center, feature_scale
        Standardisation of features.
    hard_share
        Share of hard interventions among the targets of each node, shape ``(n_nodes,)``.
    hard_noise_scale
        Noise left to a node that is set, relative to its own.
    extra_noise
        What interventions that keep the parents add to the noise at saturating dose, relative to the
        node's own, shape ``(n_perturbations, n_nodes)``; 0 for plain shifts.
    """

    structure: Structure
    mechanism: NodeMechanism
    efficacy: EfficacyModel
    predictor: TargetPredictor | None
    feature_center: FloatArray
    feature_scale: FloatArray
    hard_share: FloatArray
    hard_noise_scale: float
    extra_noise: FloatArray

    def seen(self, perturbation: IntArray, log10_dose: FloatArray) -> NodeInterventions:
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
        rows, extra = self.efficacy.rows[perturbation], self.efficacy.extra[perturbation]
        is_target = self.structure.is_target[perturbation] & treated
        is_moved = self.structure.is_moved[perturbation] & treated
        is_hard = self.structure.is_hard[perturbation] & treated
        extra_noise = self.extra_noise[perturbation] * treated
        return NodeInterventions(
            probability=is_target.astype(float),
            value=np.where(is_moved, self.efficacy.shift(rows, log10_dose, extra), 0.0),
            is_hard=is_hard,
            noise_scale=self._noise_scale(rows, log10_dose, is_hard, extra_noise),
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
        rows = self.efficacy.predict_rows(scaled)
        is_hard = np.broadcast_to(self.hard_share > 0.5, probability.shape)
        n_targets = np.maximum(self.structure.is_target.sum(axis=0), 1)
        typical = np.broadcast_to(self.extra_noise.sum(axis=0) / n_targets, probability.shape)
        return NodeInterventions(
            probability=probability,
            value=self.efficacy.shift(rows, log10_dose),
            is_hard=is_hard,
            noise_scale=self._noise_scale(rows, log10_dose, is_hard, typical),
        )

    def _noise_scale(
        self,
        rows: FloatArray,
        log10_dose: FloatArray,
        is_hard: BoolArray,
        extra_noise: FloatArray,
    ) -> FloatArray:
        response = self.efficacy.response(rows, log10_dose)[:, None]
        return np.where(is_hard, self.hard_noise_scale, 1.0 + extra_noise * response)

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
        return sample_nodes(
            self.mechanism, causal_order(self.structure.adjacency), interventions, n_cells, rng
        )


def sample_nodes(
    mechanism: NodeMechanism,
    order: list[int],
    interventions: NodeInterventions,
    n_cells: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Simulate cells, node by node.

    Parameters
    ----------
    mechanism
        How nodes follow their parents.
    order
        Nodes, parents before children.
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
    noise = rng.standard_normal(shape) * np.sqrt(mechanism.noise_variance)
    noise *= np.where(is_target, interventions.noise_scale[each], 1.0)
    cells = np.zeros(shape)
    for node in order:
        mean = np.where(is_cut[:, node], 0.0, mechanism.mean(node, cells))
        cells[:, node] = mean + value[:, node] + noise[:, node]
    return cells.reshape(n_conditions, n_cells, n_nodes)


def compute_log_densities(
    mechanism: NodeMechanism, cells: FloatArray, interventions: NodeInterventions
) -> tuple[FloatArray, FloatArray]:
    """Log density of every node given its parents, without and with the intervention on it.

    Parameters
    ----------
    mechanism
        How nodes follow their parents.
    cells
        Node values, shape ``(n_conditions, n_cells, n_nodes)``.
    interventions
        One row per condition; targets with some noise left.

    Returns
    -------
    Log densities without and with the intervention, each of shape ``(n_conditions * n_cells,
    n_nodes)``.
    """
    n_nodes = cells.shape[-1]
    flat = cells.reshape(-1, n_nodes)
    mean = np.column_stack([mechanism.mean(node, flat) for node in range(n_nodes)])
    each = np.repeat(np.arange(len(cells)), cells.shape[1])
    sd = np.sqrt(mechanism.noise_variance)
    targeted = np.where(interventions.is_hard[each], 0.0, mean) + interventions.value[each]
    scale = sd * np.maximum(interventions.noise_scale[each], MIN_NOISE_SCALE)
    return _log_normal(flat - mean, sd), _log_normal(flat - targeted, scale)


def _log_normal(residual: FloatArray, sd: FloatArray) -> FloatArray:
    density: FloatArray = -0.5 * (residual / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
    return density


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
