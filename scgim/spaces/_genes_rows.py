from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from scgim.scm import Intervention, hill_response

if TYPE_CHECKING:
    from scgim.scm import NamedNodeModel, ShiftPosterior

MIN_SIZE = 1e-6
MIN_VARIANCE = 1e-12


@dataclass(frozen=True)
class GenesRows:
    """Sparse interventions on named genes, one row for each perturbation.

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
    log10_ec50
        Dose of half the effect, log10, shape ``(n_entries,)``.
    hill
        Slope of the Hill curve, same shape.
    potency_covariance
        Covariance with which log10 EC50 and log slope are known, shape ``(n_entries, 2, 2)``.
    target_probability
        Posterior probability of each target, for the table of targets, shape
        ``(n_entries, n_nodes)``.
    evidence
        Score by which targets rank, same shape.
    is_seen
        Whether each was in training.
    n_summands
        1: named genes have no prototypes.
    distance
        Distance to the nearest seen perturbation by features.
    """

    probability: np.ndarray
    size: np.ndarray
    size_slope: np.ndarray
    size_variance: np.ndarray
    is_hard: np.ndarray
    noise_scale: np.ndarray
    kind_index: np.ndarray
    log10_ec50: np.ndarray
    hill: np.ndarray
    potency_covariance: np.ndarray
    target_probability: np.ndarray
    evidence: np.ndarray
    is_seen: np.ndarray
    n_summands: np.ndarray
    distance: np.ndarray

    @property
    def is_unknown(self) -> np.ndarray:
        """None: named nodes have no prototypes of mechanisms to compare with."""
        return np.zeros(len(self.is_seen), bool)

    @property
    def is_uncertain(self) -> np.ndarray:
        """Whether only features tell about it."""
        return ~self.is_seen

    def take(self, index: np.ndarray) -> GenesRows:
        """Pick rows."""
        return GenesRows(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def append(self, other: GenesRows) -> GenesRows:
        """Put rows behind one another."""
        joined = {
            f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)])
            for f in fields(self)
        }
        return GenesRows(**joined)

    def at(self, log10_dose: np.ndarray) -> Intervention:
        """Mean intervention at doses, see :class:`~scgim.model._conditions.PerturbationRows`."""
        at_once = np.zeros((1, *self.potency_covariance.shape[:2]))
        return self._intervene(self.probability, self.size, at_once, log10_dose)[0]

    def draw(self, log10_dose: np.ndarray, n_draws: int, rng: np.random.Generator) -> Intervention:
        """Draw targets and their shifts, shape ``(n_draws, n_entries, n_nodes)``."""
        shape = (n_draws, *self.size.shape)
        potency = self._draw_potency(n_draws, rng)
        size = self.size + np.einsum("ejp,nep->nej", self.size_slope, potency)
        size += np.sqrt(self.size_variance) * rng.standard_normal(shape)
        is_target = (rng.random(shape) < self.probability).astype(float)
        return self._intervene(is_target, size, potency, log10_dose)

    def draw_log10_ec50(self, n_draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw log10 EC50, shape ``(n_draws, n_entries)``."""
        return self.log10_ec50 + self._draw_potency(n_draws, rng)[..., 0]

    def _draw_potency(self, n_draws: int, rng: np.random.Generator) -> np.ndarray:
        """Deviations of log10 EC50 and log slope, shape ``(n_draws, n_entries, 2)``."""
        factor = np.linalg.cholesky(self.potency_covariance + MIN_VARIANCE * np.eye(2))
        noise = rng.standard_normal((n_draws, len(factor), 2))
        return np.einsum("epq,neq->nep", factor, noise)

    def _intervene(
        self,
        is_target: np.ndarray,
        size: np.ndarray,
        potency: np.ndarray,
        log10_dose: np.ndarray,
    ) -> Intervention:
        """Intervene with deviations from the dose response, ``(n_draws, n_entries, 2)``."""
        log10_ec50 = torch.as_tensor(self.log10_ec50 + potency[..., 0])
        hill = torch.as_tensor(self.hill * np.exp(potency[..., 1]))
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


def seen_rows(model: NamedNodeModel, posterior: ShiftPosterior) -> GenesRows:
    """Rows of the perturbations that were run alone.

    Parameters
    ----------
    model
        Fitted model.
    posterior
        How well shifts are known.

    Returns
    -------
    The rows, in the order of the model.
    """
    n_rows = len(model.structure.is_target)
    saturated = model.seen(np.arange(n_rows), np.full(n_rows, np.inf))
    potency = model.potency.rows
    return GenesRows(
        probability=saturated.probability,
        size=saturated.value,
        size_slope=posterior.size_slope,
        size_variance=posterior.size_variance,
        is_hard=saturated.is_hard & (saturated.probability > 0),
        noise_scale=saturated.noise_scale,
        kind_index=np.maximum(model.structure.kind_index, 0),
        log10_ec50=potency[:, 1],
        hill=np.exp(potency[:, 2]),
        potency_covariance=posterior.potency_covariance,
        target_probability=model.structure.target_probability,
        evidence=model.structure.target_evidence,
        is_seen=np.ones(n_rows, bool),
        n_summands=np.ones(n_rows, int),
        distance=np.zeros(n_rows),
    )


def complete_rows(
    single: GenesRows, names: list[str], groups: list[tuple[str, ...]], totals: np.ndarray
) -> tuple[GenesRows, list[str]]:
    """Add rows of perturbations that were run in combinations only.

    The shift of a combination less those of its known parts is shared out between the parts that
    are left, as evenly as the combinations allow (least squares of least norm).

    Parameters
    ----------
    single
        Rows of the perturbations that were run alone.
    names
        Their names.
    groups
        Perturbations in each group of cells.
    totals
        Shift of each group, shape ``(n_groups, n_nodes)``.

    Returns
    -------
    The rows with those of the others behind, and all names.
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
    n_rows, no = len(others), np.zeros(size.shape)
    is_moved = np.abs(size) > MIN_SIZE
    added = GenesRows(
        probability=is_moved.astype(float),
        size=size * is_moved,
        size_slope=np.zeros((*size.shape, 2)),
        size_variance=no,
        is_hard=no > 0,
        noise_scale=no + 1,
        kind_index=np.zeros(size.shape, int),
        log10_ec50=np.full(n_rows, single.log10_ec50.mean() if names else 0.0),
        hill=np.full(n_rows, single.hill.mean() if names else 1.0),
        potency_covariance=np.zeros((n_rows, 2, 2)),
        target_probability=is_moved.astype(float),
        evidence=np.abs(size),
        is_seen=np.ones(n_rows, bool),
        n_summands=np.ones(n_rows, int),
        distance=np.zeros(n_rows),
    )
    return single.append(added), [*names, *others]


def unseen_rows(model: NamedNodeModel, features: np.ndarray) -> GenesRows:
    """Rows of perturbations that were not run, from their features.

    Parameters
    ----------
    model
        Fitted model with a predictor.
    features
        Shape ``(n_perturbations, n_features)``.

    Returns
    -------
    The rows, with probabilities of the targets.
    """
    n_rows = len(features)
    saturated = model.unseen(features, np.full(n_rows, np.inf))
    scaled = (features - model.feature_center) / model.feature_scale
    potency = model.potency.predict_rows(scaled)
    residual = left_out_rows(model) - model.potency.rows
    relative = np.mean(residual[:, 0] ** 2) / np.mean(model.potency.rows[:, 0] ** 2)
    probability = np.clip(saturated.probability, 1e-9, 1 - 1e-9)
    return GenesRows(
        probability=saturated.probability,
        size=saturated.value,
        size_slope=np.zeros((*saturated.value.shape, 2)),
        size_variance=relative * saturated.value**2,
        is_hard=np.array(saturated.is_hard),
        noise_scale=np.array(saturated.noise_scale),
        kind_index=np.tile(_usual_kind(model), (n_rows, 1)),
        log10_ec50=potency[:, 1],
        hill=np.exp(potency[:, 2]),
        potency_covariance=np.tile(np.diag(np.mean(residual[:, 1:] ** 2, axis=0)), (n_rows, 1, 1)),
        target_probability=saturated.probability,
        evidence=np.log(probability / (1 - probability)),
        is_seen=np.zeros(n_rows, bool),
        n_summands=np.ones(n_rows, int),
        distance=_distance(scaled, model.potency.features),
    )


def left_out_rows(model: NamedNodeModel) -> np.ndarray:
    """Potency, log10 EC50 and log slope of each perturbation, predicted from the others.

    Parameters
    ----------
    model
        Fitted model.

    Returns
    -------
    Shape ``(n_perturbations, 3)``; in closed form, with the scales of the whole fit.
    """
    deviation = model.potency.rows - model.potency.center
    columns = []
    for output, gram in enumerate(model.potency.prior_covariances()):
        precision = np.linalg.inv(gram)
        columns.append(deviation[:, output] - precision @ deviation[:, output] / np.diag(precision))
    return model.potency.center + np.column_stack(columns)


def left_out_interventions(model: NamedNodeModel) -> GenesRows:
    """Rows of the seen perturbations, each predicted from the others by its features."""
    assert model.predictor is not None
    rows = left_out_rows(model)
    n_rows = len(rows)
    features = model.potency.features * model.feature_scale + model.feature_center
    generated = unseen_rows(model, features)
    size = rows[:, :1] * model.potency.sensitivity
    scale = np.divide(size**2, generated.size**2, out=np.ones_like(size), where=generated.size != 0)
    changed = asdict(generated) | {
        "probability": model.predictor.left_out_probability,
        "size": size,
        "size_variance": generated.size_variance * scale,
        "log10_ec50": rows[:, 1],
        "hill": np.exp(rows[:, 2]),
        "is_hard": np.broadcast_to(model.hard_share > 0.5, (n_rows, len(model.hard_share))),
    }
    return GenesRows(**changed)


def _usual_kind(model: NamedNodeModel) -> np.ndarray:
    """Kind that is done most often to each gene when it is a target, shape ``(n_nodes,)``."""
    counts = [
        (model.structure.kind_index == k).sum(axis=0) for k in range(len(model.structure.kinds))
    ]
    return np.argmax(counts, axis=0)


def _distance(scaled: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Distance to the nearest seen perturbation, over what is usual among the seen ones."""
    between = np.linalg.norm(known[:, None] - known, axis=-1)
    np.fill_diagonal(between, np.inf)
    usual = np.quantile(between.min(axis=1), 0.95)
    nearest = np.linalg.norm(scaled[:, None] - known, axis=-1).min(axis=1)
    return nearest / max(usual, 1e-12)
