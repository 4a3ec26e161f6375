from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scgim.scm.generator._intervention_generator import combine
from scgim.scm.generator._stack_loss import (
    CAUSAL,
    KERNEL,
    NEIGHBOURS,
    POPULATION,
    MeasuredEffects,
    StackLoss,
)
from scgim.scm.generator._strength_curve import StrengthCurve, pool_shifts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scgim._types import BoolArray, FloatArray
    from scgim.scm.generator._effect_kernel import EffectKernel

# Far from all seen features, left-out perturbations say nothing of what interpolates between them.
FAR_MEMBERS = (POPULATION, KERNEL, CAUSAL)
UNKNOWN_MEMBERS = (POPULATION,)
# Perturbations at a dose after which their own mean counts as much as the mean of all doses.
PRIOR_PERTURBATIONS = 4.0
N_NEIGHBOURS = 5
# With fewer perturbations there is no population, and nothing to leave out.
MIN_PERTURBATIONS = 4


@dataclass(frozen=True)
class EffectStack:
    """Mean shift of an unseen perturbation, as a weighted sum of several ways to predict it.

    An unseen perturbation is one of a population: what the others do at its dose is where its
    prediction starts, and features move it from there. Every member earns its weight by leaving
    perturbations out, all doses and contexts of one together (stacking, Breiman 1996, Mach Learn
    24:49, with weights at least 0). A sum that is not better than its best member is not used.

    Attributes
    ----------
    log10_dose
        Doses of the screen, log10, increasing, shape ``(n_doses,)``.
    population
        Mean shift of all perturbations at each dose, shape ``(n_doses, n_genes)``.
    curve
        Strength of perturbations over the dose.
    effect
        Effect of each seen perturbation at full strength, shape ``(n_perturbations, n_genes)``.
    kernel_weights
        Coefficients of the feature kernel, same shape.
    weights
        Weight of each member: near seen perturbations (``"near"``), far from them (``"far"``), and
        where the mechanism is unlike all known ones (``"unknown"``).
    left_out_r2
        Share of the squared measured shifts, noise not counted, that each member, the sum of them
        (``"stack"``) and what is used (``"used"``) predict of perturbations that were left out.
    is_single
        Whether one member is used alone because the sum was not better.
    """

    log10_dose: FloatArray
    population: FloatArray
    curve: StrengthCurve
    effect: FloatArray
    kernel_weights: FloatArray
    weights: dict[str, dict[str, float]]
    left_out_r2: dict[str, float]
    is_single: bool

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Rebuild what :meth:`to_dict` held."""
        return cls(**state | {"curve": StrengthCurve(**state["curve"])})

    def to_dict(self) -> dict[str, Any]:
        """Hold the stack as plain values, to be saved with the model."""
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        return state | {"curve": self.curve.to_dict()}

    def predict(
        self,
        similarity: FloatArray,
        log10_dose: FloatArray,
        causal: FloatArray,
        *,
        is_far: BoolArray,
        is_unknown: BoolArray,
    ) -> FloatArray:
        """Predict the mean shift of unseen perturbations.

        Parameters
        ----------
        similarity
            Kernel between their features and those of the seen ones, ``(n, n_perturbations)``.
        log10_dose
            Dose of each, log10, shape ``(n,)``; minus infinity is dose zero.
        causal
            What the causal generator predicts of each, shape ``(n, n_genes)``.
        is_far
            Whether the features of each are far from all seen ones, shape ``(n,)``.
        is_unknown
            Whether it is unlike all known mechanisms, same shape.

        Returns
        -------
        Mean shifts, exactly 0 at dose zero, shape ``(n, n_genes)``.
        """
        members = self.members(similarity, log10_dose, causal)
        kind = kind_of(is_far=is_far, is_unknown=is_unknown)
        total = np.zeros_like(causal)
        for name, weights in self.weights.items():
            of_kind = kind == name
            total[of_kind] = combine(weights, {m: v[of_kind] for m, v in members.items()})
        return total

    def members(
        self, similarity: FloatArray, log10_dose: FloatArray, causal: FloatArray
    ) -> dict[str, FloatArray]:
        """Predict by each member alone.

        Parameters
        ----------
        similarity
            As for :meth:`predict`.
        log10_dose
            As for :meth:`predict`.
        causal
            As for :meth:`predict`.

        Returns
        -------
        Mean shifts of each member, shape ``(n, n_genes)`` each.
        """
        strength = self.curve.at(log10_dose)[:, None]
        population = self._population_at(log10_dose)
        return {
            POPULATION: population,
            NEIGHBOURS: strength * (_nearest(similarity) @ self.effect),
            KERNEL: population + strength * (similarity @ self.kernel_weights),
            CAUSAL: causal,
        }

    def _population_at(self, log10_dose: FloatArray) -> FloatArray:
        """Mean shift of all perturbations at doses, linear in the log dose between those measured."""
        place = np.interp(log10_dose, self.log10_dose, np.arange(len(self.log10_dose)))
        below = np.minimum(place.astype(int), max(len(self.log10_dose) - 2, 0))
        share = (place - below)[:, None]
        above = np.minimum(below + 1, len(self.log10_dose) - 1)
        inside = (1 - share) * self.population[below] + share * self.population[above]
        if np.isfinite(self.log10_dose).all():
            below_lowest = np.minimum(log10_dose - self.log10_dose[0], 0.0)
        else:
            below_lowest = np.where(log10_dose > -np.inf, 0.0, -np.inf)
        population: FloatArray = inside * 10.0 ** below_lowest[:, None]
        return population


def kind_of(*, is_far: BoolArray, is_unknown: BoolArray) -> NDArray[np.str_]:
    """Which weights of the stack hold for perturbations: near, far or unknown.

    Parameters
    ----------
    is_far
        Whether the features of each are far from all seen ones, shape ``(n,)``.
    is_unknown
        Whether it is unlike all known mechanisms, same shape.

    Returns
    -------
    Keys of :attr:`EffectStack.weights`, shape ``(n,)``.
    """
    return np.where(is_unknown, "unknown", np.where(is_far, "far", "near"))


def fit_effect_stack(
    measured: MeasuredEffects,
    kernel: EffectKernel,
    causal: FloatArray,
    curve: StrengthCurve,
) -> tuple[EffectStack, FloatArray] | None:
    """Fit and weigh the members.

    Parameters
    ----------
    measured
        Measured shifts.
    kernel
        Similarity of the seen perturbations by their features.
    causal
        What the causal generator predicts of each condition with its perturbation left out, shape
        ``(n_rows, n_genes)``.
    curve
        Strength of perturbations over the dose.

    Returns
    -------
    The stack, and what it predicts of each condition with its perturbation left out, ``(n_rows,
    n_genes)``; ``None`` for fewer than four perturbations.
    """
    of_row = measured.perturbation
    present = np.unique(of_row)
    if len(present) < MIN_PERTURBATIONS:
        return None
    strength = curve.at(measured.log10_dose)
    effect = _effects_at_full_strength(measured, strength, len(kernel.similarity))
    doses, population, left_out_population = _population_means(measured, effect, strength)
    left_out = {POPULATION: left_out_population, CAUSAL: causal}
    deviation = effect - effect[present].mean(0)
    kernel_weights, moved = np.zeros_like(effect), np.zeros_like(effect)
    kernel_weights[present], moved[present] = kernel.take(present).fit_ridge(deviation[present])
    left_out[KERNEL] = left_out_population + strength[:, None] * moved[of_row]
    similarity = np.full_like(kernel.similarity, -np.inf)
    similarity[:, present] = kernel.similarity[:, present]
    np.fill_diagonal(similarity, -np.inf)
    left_out[NEIGHBOURS] = strength[:, None] * (_nearest(similarity) @ effect)[of_row]
    loss = StackLoss.of(measured, left_out)
    near, is_single = loss.choose(tuple(left_out))
    weights = {
        "near": near,
        "far": loss.choose(FAR_MEMBERS)[0],
        "unknown": loss.choose(UNKNOWN_MEMBERS)[0],
    }
    stack = EffectStack(
        log10_dose=doses,
        population=population.astype(np.float32),
        curve=curve,
        effect=effect.astype(np.float32),
        kernel_weights=kernel_weights.astype(np.float32),
        weights=weights,
        left_out_r2=loss.report(near),
        is_single=is_single,
    )
    return stack, combine(near, left_out)


def _effects_at_full_strength(
    measured: MeasuredEffects, strength: FloatArray, n_perturbations: int
) -> FloatArray:
    """Effects drawn to the mean of all perturbations by their noise, ``(n_perturbations, n_genes)``."""
    pooled, variance = pool_shifts(
        strength, measured.perturbation, measured.shift, 1 / measured.variance
    )
    known = np.isfinite(variance)
    weight = np.where(known, 1.0, 0.0)
    for _ in range(2):
        centre = (weight * pooled).sum(0) / np.maximum(weight.sum(0), 1e-12)
        excess = np.where(known, (pooled - centre) ** 2 - variance, 0.0)
        between = np.maximum(excess.sum(0) / np.maximum(known.sum(0), 1), 0.0)
        weight = np.where(known, 1 / (between + np.where(known, variance, 1.0) + 1e-12), 0.0)
    kept = np.where(known, between / (between + np.where(known, variance, 1.0) + 1e-12), 0.0)
    effect = centre + kept * (pooled - centre)
    missing = n_perturbations - len(effect)
    return np.concatenate([effect, np.repeat(centre[None], missing, axis=0)])


def _population_means(
    measured: MeasuredEffects, effect: FloatArray, strength: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Doses, mean shift at each, and the mean of the others for each condition.

    Few perturbations at a dose draw on the mean of all doses, at the strength of this one.
    """
    doses, place = np.unique(measured.log10_dose, return_inverse=True)
    keys, cell = np.unique(np.stack([place, measured.perturbation], 1), axis=0, return_inverse=True)
    cell = cell.ravel()
    per_cell = np.zeros((len(keys), measured.shift.shape[1]))
    np.add.at(per_cell, cell, measured.shift)
    per_cell /= np.bincount(cell)[:, None]
    total = np.zeros((len(doses), per_cell.shape[1]))
    np.add.at(total, keys[:, 0], per_cell)
    count = np.bincount(keys[:, 0], minlength=len(doses)).astype(float)
    at_dose = np.zeros(len(doses))
    at_dose[place] = strength
    present = np.unique(measured.perturbation)
    overall = effect[present].sum(0)

    def blend(total: FloatArray, count: FloatArray, prior: FloatArray) -> FloatArray:
        mean = total + PRIOR_PERTURBATIONS * prior
        return mean / (count + PRIOR_PERTURBATIONS)[:, None]

    population = blend(total, count, at_dose[:, None] * overall / len(present))
    others = (overall - effect[keys[:, 1]]) / (len(present) - 1)
    left_out = blend(
        total[keys[:, 0]] - per_cell, count[keys[:, 0]] - 1, at_dose[keys[:, 0], None] * others
    )
    return doses, population, left_out[cell]


def _nearest(similarity: FloatArray) -> FloatArray:
    """Average over the most similar seen perturbations, as a matrix of their weights."""
    n = min(N_NEIGHBOURS, similarity.shape[1] - 1)
    chosen = np.argpartition(-similarity, n - 1, axis=1)[:, :n]
    average = np.zeros_like(similarity)
    np.put_along_axis(average, chosen, 1 / n, 1)
    return average
