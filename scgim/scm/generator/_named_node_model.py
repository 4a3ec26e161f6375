from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from scgim.scm._interventions import Intervention
from scgim.scm._linear_mechanism import LinearMechanism
from scgim.scm._sampling import compute_linear_mean, sample_nodes

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray
    from scgim.scm._mechanism import Mechanism
    from scgim.scm._structure import Structure
    from scgim.scm.generator._efficacy_model import EfficacyModel
    from scgim.scm.generator._target_prediction import TargetPredictor

# Simulated cells for the mean of a condition: it is then known to 3 % of a cell's spread.
N_CELLS_FOR_MEAN = 1000


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
    mechanism: Mechanism
    efficacy: EfficacyModel
    predictor: TargetPredictor | None
    feature_center: FloatArray
    feature_scale: FloatArray
    hard_share: FloatArray
    hard_noise_scale: float
    extra_noise: FloatArray

    def seen(self, perturbation: IntArray, log10_dose: FloatArray) -> Intervention:
        """Interventions of seen perturbations at any dose.

        Parameters
        ----------
        perturbation
            Row of each condition's perturbation; -1 for control.
        log10_dose
            Dose, log10; infinity is saturation, minus infinity is dose 0.

        Returns
        -------
        What is done to each target, and which nodes are targets; the control has none. Tensors of
        shape ``(n_conditions, n_nodes)``.
        """
        treated = (perturbation >= 0)[:, None]
        rows, extra = self.efficacy.rows[perturbation], self.efficacy.extra[perturbation]
        is_target = self.structure.is_target[perturbation] & treated
        is_moved = self.structure.is_moved[perturbation] & treated
        is_hard = self.structure.is_hard[perturbation] & treated
        extra_noise = self.extra_noise[perturbation] * treated
        return _as_intervention(
            shift=np.where(is_moved, self.efficacy.shift(rows, log10_dose, extra), 0.0),
            noise_scale=self._noise_scale(rows, log10_dose, is_hard, extra_noise),
            is_cut=is_hard,
            probability=is_target,
        )

    def unseen(self, features: FloatArray, log10_dose: FloatArray) -> Intervention:
        """Interventions of unseen perturbations, from their features.

        Parameters
        ----------
        features
            Features of each condition's perturbation, shape ``(n_conditions, n_features)``.
        log10_dose
            Dose, log10.

        Returns
        -------
        What is done to each node if it is a target, and the probability that it is one. Tensors of
        shape ``(n_conditions, n_nodes)``.
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
        return _as_intervention(
            shift=self.efficacy.shift(rows, log10_dose),
            noise_scale=self._noise_scale(rows, log10_dose, is_hard, typical),
            is_cut=is_hard,
            probability=probability,
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
        intervention: Intervention,
        rng: np.random.Generator,
        n_cells: int = N_CELLS_FOR_MEAN,
    ) -> FloatArray:
        """Mean of every node under interventions.

        In closed form for linear mechanisms and otherwise over simulated cells.

        Parameters
        ----------
        intervention
            One row per condition.
        rng
            Source of randomness of the simulated cells.
        n_cells
            Simulated cells per condition.

        Returns
        -------
        Means, shape ``(n_conditions, n_nodes)``.
        """
        if isinstance(self.mechanism, LinearMechanism):
            return compute_linear_mean(self.mechanism, intervention)
        cells = self.sample(intervention, n_cells, rng)
        means: FloatArray = cells.mean(axis=1)
        return means

    def sample(
        self, intervention: Intervention, n_cells: int, rng: np.random.Generator
    ) -> FloatArray:
        """Simulate cells.

        Parameters
        ----------
        intervention
            One row per condition.
        n_cells
            Cells per condition.
        rng
            Source of randomness.

        Returns
        -------
        Node values, shape ``(n_conditions, n_cells, n_nodes)``.
        """
        return sample_nodes(self.mechanism, intervention, n_cells, rng)


def _as_intervention(
    shift: FloatArray,
    noise_scale: FloatArray,
    is_cut: BoolArray,
    probability: BoolArray | FloatArray,
) -> Intervention:
    arrays = (shift, noise_scale, is_cut, probability)
    return Intervention(*(torch.tensor(array, dtype=torch.float64) for array in arrays))
