from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from scgim.scm._dose_response import hill_response
from scgim.scm._intervention_distribution import InterventionDistribution
from scgim.scm._interventions import Intervention

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray
    from scgim.scm.generator._named_node_model import NamedNodeModel
    from scgim.scm.generator._shift_posterior import ShiftPosterior

# Shifts below this are rounding errors of least squares, in control standard deviations.
MIN_SIZE = 1e-6
# Keeps Cholesky factors of covariances that are exactly zero.
MIN_VARIANCE = 1e-12
# Keeps log-odds of targets finite.
MIN_PROBABILITY = 1e-9
# A seen perturbation is nearer to its nearest neighbour than this share of the others: not far.
USUAL_QUANTILE = 0.95


@dataclass(frozen=True, kw_only=True)
class SparseInterventions(InterventionDistribution):
    """Sparse interventions on named nodes: which nodes are targets, and how far each is moved.

    Attributes
    ----------
    probability
        That a gene is a target, shape ``(n_entries, n_nodes)``; certain where seen.
    size
        Shift of a target at saturating dose, or the mean it is set to, same shape.
    size_slope
        How it changes with log10 EC50 and log slope, shape ``(n_entries, n_nodes, 2)``.
    size_variance
        Variance with which it is known given these, shape ``(n_entries, n_nodes)``.
    is_hard
        Whether a target is set rather than shifted, same shape.
    noise_scale
        Factor on the noise of a target at saturating dose, same shape.
    kind_index
        What is done to each target, as a place in the list of kinds, same shape.
    dose_response_covariance
        Covariance with which log10 EC50 and log slope are known, shape ``(n_entries, 2, 2)``.
    target_probability
        Posterior probability of each target, for the table of targets, shape
        ``(n_entries, n_nodes)``.
    evidence
        Score by which targets rank, same shape.
    """

    probability: FloatArray
    size: FloatArray
    size_slope: FloatArray
    size_variance: FloatArray
    is_hard: BoolArray
    noise_scale: FloatArray
    kind_index: IntArray
    dose_response_covariance: FloatArray
    target_probability: FloatArray
    evidence: FloatArray

    @property
    def is_uncertain(self) -> BoolArray:
        """Whether only features tell about it."""
        return ~self.is_seen

    def take(self, index: IntArray) -> SparseInterventions:
        """Pick entries.

        Parameters
        ----------
        index
            Which, in any order and as often as wanted.

        Returns
        -------
        The entries.
        """
        return SparseInterventions(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def append(self, other: SparseInterventions) -> SparseInterventions:
        """Put entries behind one another.

        Parameters
        ----------
        other
            The entries that come last.

        Returns
        -------
        All entries.
        """
        joined = {
            f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)])
            for f in fields(self)
        }
        return SparseInterventions(**joined)

    def mean(self, log10_dose: FloatArray) -> Intervention:
        """Mean intervention at doses, see :class:`~scgim.scm.InterventionDistribution`."""
        at_once = np.zeros((1, *self.dose_response_covariance.shape[:2]))
        return self._intervene(self.probability, self.size, at_once, log10_dose)[0]

    def sample(
        self, log10_dose: FloatArray, n_draws: int, rng: np.random.Generator
    ) -> Intervention:
        """Draw targets and their shifts, shape ``(n_draws, n_entries, n_nodes)``."""
        shape = (n_draws, *self.size.shape)
        deviation = self._sample_dose_response(n_draws, rng)
        size = self.size + np.einsum("ejp,nep->nej", self.size_slope, deviation)
        size += np.sqrt(self.size_variance) * rng.standard_normal(shape)
        is_target = (rng.random(shape) < self.probability).astype(float)
        return self._intervene(is_target, size, deviation, log10_dose)

    def sample_log10_ec50(self, n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Draw log10 EC50, shape ``(n_draws, n_entries)``."""
        return self.log10_ec50 + self._sample_dose_response(n_draws, rng)[..., 0]

    def _sample_dose_response(self, n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Deviations of log10 EC50 and log slope, shape ``(n_draws, n_entries, 2)``."""
        factor = np.linalg.cholesky(self.dose_response_covariance + MIN_VARIANCE * np.eye(2))
        noise = rng.standard_normal((n_draws, len(factor), 2))
        deviation: FloatArray = np.einsum("epq,neq->nep", factor, noise)
        return deviation

    def _intervene(
        self,
        is_target: FloatArray,
        size: FloatArray,
        deviation: FloatArray,
        log10_dose: FloatArray,
    ) -> Intervention:
        """Intervene with deviations from the dose response, ``(n_draws, n_entries, 2)``."""
        log10_ec50 = torch.as_tensor(self.log10_ec50 + deviation[..., 0])
        hill = torch.as_tensor(self.hill * np.exp(deviation[..., 1]))
        dose = torch.as_tensor(log10_dose).expand(log10_ec50.shape)
        response = hill_response(dose, log10_ec50, hill)[..., None]
        targeted = torch.as_tensor(is_target)
        # Dose zero is the control: nothing is cut.
        is_cut = targeted * torch.as_tensor(self.is_hard) * (response > 0)
        change = torch.as_tensor(self.noise_scale) - 1
        return Intervention(
            shift=targeted * torch.as_tensor(size) * response,
            noise_scale=1 + torch.where(is_cut > 0, is_cut, targeted * response) * change,
            is_cut=is_cut,
        )


def of_seen_perturbations(model: NamedNodeModel, posterior: ShiftPosterior) -> SparseInterventions:
    """Believe what the cells say of the perturbations that were run alone.

    Parameters
    ----------
    model
        Fitted model.
    posterior
        How well shifts are known.

    Returns
    -------
    One entry per perturbation, in the order of the model.
    """
    structure, effects = model.structure, model.efficacy.rows
    n_entries = len(structure.is_target)
    size = effects[:, :1] * model.efficacy.sensitivity + model.efficacy.extra
    return SparseInterventions(
        probability=structure.is_target.astype(float),
        size=np.where(structure.is_moved, size, 0.0),
        size_slope=posterior.size_slope,
        size_variance=posterior.size_variance,
        is_hard=structure.is_hard & structure.is_target,
        noise_scale=_noise_scale(model, structure.is_hard, model.extra_noise),
        kind_index=np.maximum(structure.kind_index, 0),
        log10_ec50=effects[:, 1],
        hill=np.exp(effects[:, 2]),
        dose_response_covariance=posterior.dose_response_covariance,
        target_probability=structure.target_probability,
        evidence=structure.target_evidence,
        is_seen=np.ones(n_entries, dtype=bool),
        is_unknown=np.zeros(n_entries, dtype=bool),
        n_summands=np.ones(n_entries, dtype=int),
        distance=np.zeros(n_entries),
    )


def add_combined_only(
    single: SparseInterventions,
    names: list[str],
    groups: list[tuple[str, ...]],
    totals: FloatArray,
) -> tuple[SparseInterventions, list[str]]:
    """Add perturbations that were run in combinations only.

    The shift of a combination less those of its known parts is shared out between the parts that
    are left, as evenly as the combinations allow (least squares of least norm).

    Parameters
    ----------
    single
        What the perturbations do that were run alone.
    names
        Their names.
    groups
        Perturbations in each group of cells.
    totals
        Shift of each group, shape ``(n_groups, n_nodes)``.

    Returns
    -------
    The entries with those of the others behind, and all names.
    """
    place = {name: row for row, name in enumerate(names)}
    others = sorted({part for parts in groups for part in parts} - set(names))
    if not others:
        return single, names
    chosen = [row for row, parts in enumerate(groups) if not set(parts) <= set(names)]
    left, member = totals[chosen].copy(), np.zeros((len(chosen), len(others)))
    for row, group in enumerate(chosen):
        for part in groups[group]:
            if part in place:
                left[row] -= single.size[place[part]] * single.probability[place[part]]
            else:
                member[row, others.index(part)] = 1
    size = np.linalg.lstsq(member, left, rcond=None)[0]
    n_added, no = len(others), np.zeros(size.shape)
    is_moved = np.abs(size) > MIN_SIZE
    added = SparseInterventions(
        probability=is_moved.astype(float),
        size=size * is_moved,
        size_slope=np.zeros((*size.shape, 2)),
        size_variance=no,
        is_hard=no > 0,
        noise_scale=no + 1,
        kind_index=np.zeros(size.shape, dtype=int),
        log10_ec50=np.full(n_added, single.log10_ec50.mean() if names else 0.0),
        hill=np.full(n_added, single.hill.mean() if names else 1.0),
        dose_response_covariance=np.zeros((n_added, 2, 2)),
        target_probability=is_moved.astype(float),
        evidence=np.abs(size),
        is_seen=np.ones(n_added, dtype=bool),
        is_unknown=np.zeros(n_added, dtype=bool),
        n_summands=np.ones(n_added, dtype=int),
        distance=np.zeros(n_added),
    )
    return single.append(added), [*names, *others]


def of_unseen_perturbations(model: NamedNodeModel, features: FloatArray) -> SparseInterventions:
    """Believe what features say of perturbations that were not run.

    Parameters
    ----------
    model
        Fitted model with a predictor.
    features
        Shape ``(n_perturbations, n_features)``.

    Returns
    -------
    One entry per perturbation, with probabilities of the targets.
    """
    assert model.predictor is not None
    scaled = (features - model.feature_center) / model.feature_scale
    probability, effects = model.predictor.probability(scaled), model.efficacy.predict_rows(scaled)
    n_entries, size = len(features), effects[:, :1] * model.efficacy.sensitivity
    residual = left_out_effects(model) - model.efficacy.rows
    relative = np.mean(residual[:, 0] ** 2) / np.mean(model.efficacy.rows[:, 0] ** 2)
    is_hard = np.tile(model.hard_share > 0.5, (n_entries, 1))
    covariance = np.diag(np.mean(residual[:, 1:] ** 2, axis=0))
    return SparseInterventions(
        probability=probability,
        size=size,
        size_slope=np.zeros((*size.shape, 2)),
        size_variance=relative * size**2,
        is_hard=is_hard,
        noise_scale=_noise_scale(model, is_hard, _typical_extra_noise(model)),
        kind_index=np.tile(_usual_kind(model), (n_entries, 1)),
        log10_ec50=effects[:, 1],
        hill=np.exp(effects[:, 2]),
        dose_response_covariance=np.tile(covariance, (n_entries, 1, 1)),
        target_probability=probability,
        evidence=_log_odds(probability),
        is_seen=np.zeros(n_entries, dtype=bool),
        is_unknown=np.zeros(n_entries, dtype=bool),
        n_summands=np.ones(n_entries, dtype=int),
        distance=_distance(scaled, model.efficacy.features),
    )


def left_out_effects(model: NamedNodeModel) -> FloatArray:
    """Efficacy, log10 EC50 and log slope of each perturbation, predicted from the others.

    Parameters
    ----------
    model
        Fitted model.

    Returns
    -------
    Shape ``(n_perturbations, 3)``; in closed form, with the scales of the whole fit (Rasmussen and
    Williams 2006, eq. 5.12).
    """
    deviation = model.efficacy.rows - model.efficacy.center
    columns = []
    for output, gram in enumerate(model.efficacy.prior_covariances()):
        precision = np.linalg.inv(gram)
        columns.append(deviation[:, output] - precision @ deviation[:, output] / np.diag(precision))
    left_out: FloatArray = model.efficacy.center + np.column_stack(columns)
    return left_out


def of_left_out_perturbations(model: NamedNodeModel) -> SparseInterventions:
    """Believe of each seen perturbation what its features and the others say.

    Parameters
    ----------
    model
        Fitted model with a predictor.

    Returns
    -------
    One entry per seen perturbation.
    """
    assert model.predictor is not None
    effects = left_out_effects(model)
    features = model.efficacy.features * model.feature_scale + model.feature_center
    generated = of_unseen_perturbations(model, features)
    size = effects[:, :1] * model.efficacy.sensitivity
    scale = np.divide(size**2, generated.size**2, out=np.ones_like(size), where=generated.size != 0)
    return replace(
        generated,
        probability=model.predictor.left_out_probability,
        size=size,
        size_variance=generated.size_variance * scale,
        log10_ec50=effects[:, 1],
        hill=np.exp(effects[:, 2]),
    )


def _noise_scale(model: NamedNodeModel, is_hard: BoolArray, extra: FloatArray) -> FloatArray:
    """Factor on the noise of targets at saturating dose, shape of ``is_hard``."""
    return np.where(is_hard, model.hard_noise_scale, 1.0 + extra)


def _typical_extra_noise(model: NamedNodeModel) -> FloatArray:
    """Noise that interventions on each node add on average, shape ``(n_nodes,)``."""
    n_targets = np.maximum(model.structure.is_target.sum(axis=0), 1)
    typical: FloatArray = model.extra_noise.sum(axis=0) / n_targets
    return typical


def _log_odds(probability: FloatArray) -> FloatArray:
    clipped = np.clip(probability, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    log_odds: FloatArray = np.log(clipped / (1 - clipped))
    return log_odds


def _usual_kind(model: NamedNodeModel) -> IntArray:
    """Kind that is done most often to each gene when it is a target, shape ``(n_nodes,)``."""
    counts = [
        (model.structure.kind_index == k).sum(axis=0) for k in range(len(model.structure.kinds))
    ]
    usual: IntArray = np.argmax(counts, axis=0)
    return usual


def _distance(scaled: FloatArray, known: FloatArray) -> FloatArray:
    """Distance to the nearest seen perturbation, over what is usual among the seen ones."""
    between = np.linalg.norm(known[:, None] - known, axis=-1)
    np.fill_diagonal(between, np.inf)
    usual = np.quantile(between.min(axis=1), USUAL_QUANTILE)
    nearest = np.linalg.norm(scaled[:, None] - known, axis=-1).min(axis=1)
    distance: FloatArray = nearest / max(usual, 1e-12)
    return distance
