from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm

from scgim.scm.generator._adaptive_shrinkage import shrink
from scgim.scm.generator._strength_curve import StrengthCurve, pool_shifts
from scgim.spaces._mechanism_share import compute_mechanism_share
from scgim.spaces._population import Population

if TYPE_CHECKING:
    from scgim._types import FloatArray
    from scgim.scm import DenseInterventions, Intervention
    from scgim.spaces._latent_fit import LatentFit
    from scgim.spaces._measured_shifts import MeasuredShifts

# Control cells over which the programs' share of a measured shift is computed. The same noise is in
# the control, so its sampling error is far below that of the measured shifts.
N_CELLS = 256
# Intervals hold 80 %.
INTERVAL_Z = float(norm.ppf(0.9))
# A curve in common replaces the perturbations' own only if it leaves so much less of the left-out
# doses unexplained: it may not win by chance.
CLEAR_GAIN = 0.01


@dataclass(frozen=True)
class DirectEffects:
    r"""What perturbations do to the genes themselves, beside what they do to programs.

    Genes are leaves of the causal graph: programs are their parents, and an intervention may hit the
    mechanism of a gene, as a knock-out hits its own. The log-rate of gene :math:`g` under
    perturbation :math:`k` at dose :math:`d` moves by :math:`s_k(d)\,\delta_{kg}`.

    Attributes
    ----------
    log_fold
        Effects :math:`\delta` at full strength, shape ``(n_perturbations, n_genes)``: natural log of
        the factor on the rate; a difference where expression came transformed.
    lower
        Lower end of their 80 % interval, same shape.
    upper
        Upper end, same shape.
    false_sign_rate
        Local false sign rate, same shape.
    shift
        The same effects as mean shifts of expression, same shape.
    shift_variance
        Posterior variance of these, same shape.
    curve
        How strength follows the dose, in common to all perturbations; ``None`` where direct effects
        follow each perturbation's own dose response.
    mechanism_share
        How much of the measured effect of each perturbation nodes and direct effects explain, see
        :func:`~scgim.spaces._mechanism_share.compute_mechanism_share`.
    """

    log_fold: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    false_sign_rate: np.ndarray
    shift: np.ndarray
    shift_variance: np.ndarray
    curve: StrengthCurve | None
    mechanism_share: pd.DataFrame

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Rebuild what :meth:`to_dict` held."""
        curve = state["curve"]
        return cls(
            **state
            | {
                "curve": None if curve is None else StrengthCurve(**curve),
                "mechanism_share": pd.DataFrame(state["mechanism_share"]),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Hold the effects as plain arrays, to be saved with the model."""
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        columns = {name: column.to_numpy() for name, column in self.mechanism_share.items()}
        return state | {
            "curve": self.curve and self.curve.to_dict(),
            "mechanism_share": columns,
        }

    def strength(self, distribution: DenseInterventions, log10_dose: FloatArray) -> FloatArray:
        """Strength of perturbations at doses, between 0 and 1 and exactly 0 at dose zero.

        Parameters
        ----------
        distribution
            The perturbations.
        log10_dose
            Dose of each, log10, shape ``(n_entries,)``.

        Returns
        -------
        Shape ``(n_entries,)``.
        """
        if self.curve is None:
            return distribution.strength(log10_dose)
        return self.curve.at(log10_dose)


def estimate_direct_effects(
    fit: LatentFit, measured: MeasuredShifts, curve: StrengthCurve
) -> tuple[DirectEffects, FloatArray]:
    """Estimate what the programs leave of the measured effect of each perturbation.

    The rest is pooled over doses and contexts by its noise and shrunk (:func:`~scgim.scm.generator._adaptive_shrinkage.shrink`).

    Parameters
    ----------
    fit
        What was learned of the programs.
    measured
        Measured shifts.
    curve
        How strength follows the dose in the screen as a whole.

    Returns
    -------
    The effects, and what they add to the shift of each condition if the conditions of its perturbation
    at its dose had not been run, shape ``(n_rows, n_genes)``.
    """
    seen = fit.seen_interventions.take(measured.perturbation)
    from_programs = predict_measured(fit, measured, seen.mean(measured.log10_dose)[None])
    residual, precision = measured.shift - from_programs, 1 / measured.variance
    own = seen.strength(measured.log10_dose)
    chosen = choose_curve(measured, residual, own, curve)
    strength = own if chosen is None else chosen.at(measured.log10_dose)
    n_perturbations = len(fit.screen.table.perturbations)

    def pool(shift: FloatArray) -> tuple[FloatArray, FloatArray]:
        effect, variance = pool_shifts(strength, measured.perturbation, shift, precision)
        missing = ((0, n_perturbations - len(effect)), (0, 0))
        return np.pad(effect, missing), np.pad(variance, missing, constant_values=np.inf)

    effect, variance = pool(residual)
    shrunk = shrink(effect, np.sqrt(variance))
    base = pool(from_programs)[0]
    scale = fit.rate_scale
    half_width = INTERVAL_Z * np.sqrt(shrunk.variance)
    at_base = scale.to_log_fold(base)
    log_fold, lower, upper = (
        (scale.to_log_fold(base + shift) - at_base).astype(np.float32)
        for shift in (shrunk.mean, shrunk.mean - half_width, shrunk.mean + half_width)
    )
    kept = np.divide(shrunk.mean, effect, out=np.zeros_like(effect), where=effect != 0)
    left_out = strength[:, None] * kept[measured.perturbation]
    left_out *= _pool_other_doses(measured, strength, residual)
    effects = DirectEffects(
        log_fold=log_fold,
        lower=lower,
        upper=upper,
        false_sign_rate=shrunk.false_sign_rate.astype(np.float32),
        shift=shrunk.mean.astype(np.float32),
        shift_variance=shrunk.variance.astype(np.float32),
        curve=chosen,
        mechanism_share=compute_mechanism_share(
            measured,
            from_programs,
            strength[:, None] * shrunk.mean[measured.perturbation],
            (len(fit.node_names), kept),
            list(fit.screen.table.perturbations),
        ),
    )
    return effects, left_out


def _pool_other_doses(
    measured: MeasuredShifts, strength: FloatArray, residual: FloatArray
) -> FloatArray:
    """Effect of each condition's perturbation without its own dose, ``(n_rows, n_genes)``."""
    keys = np.column_stack([measured.perturbation, measured.log10_dose])
    _, first, cell = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    cell = cell.ravel()
    of_cell = measured.perturbation[first]
    weighted = strength[:, None] / measured.variance
    sums = []
    for values in (weighted * residual, weighted * strength[:, None]):
        per_cell = np.zeros((len(first), values.shape[1]))
        np.add.at(per_cell, cell, values)
        per_perturbation = np.zeros((int(of_cell.max()) + 1, values.shape[1]))
        np.add.at(per_perturbation, of_cell, per_cell)
        sums.append(per_perturbation[of_cell] - per_cell)
    total, information = sums
    pooled = np.divide(total, information, out=np.zeros_like(total), where=information > 1e-9)
    return pooled[cell]


def predict_measured(
    fit: LatentFit,
    measured: MeasuredShifts,
    draws: Intervention,
    n_cells: int = N_CELLS,
) -> FloatArray:
    """Mean shift by the nodes in each measured condition, over control cells of its context.

    Parameters
    ----------
    fit
        What was learned of the programs.
    measured
        The conditions.
    draws
        What is done to the nodes in each, tensors of shape ``(n_draws, n_rows, n_nodes)``.
    n_cells
        Control cells to average over.

    Returns
    -------
    Shape ``(n_rows, n_genes)``.
    """
    statistics = fit.statistics
    of_cells = np.column_stack([statistics.control_batch, statistics.control_categories])
    predicted = np.zeros(measured.shift.shape)
    for number, context in enumerate(measured.contexts):
        rows = np.flatnonzero(measured.context == number)
        is_member = (of_cells == context).all(1)
        if not len(rows) or not is_member.any():
            continue
        population = Population(fit.module, statistics, n_cells=n_cells, is_member=is_member)
        predicted[rows] = population.expected_shift(draws[:, torch.as_tensor(rows)]).numpy()
    return predicted


def choose_curve(
    measured: MeasuredShifts, residual: FloatArray, own: FloatArray, curve: StrengthCurve
) -> StrengthCurve | None:
    """Choose between each perturbation's own strength and one in common, by leaving doses out.

    Parameters
    ----------
    measured
        The measured conditions.
    residual
        What the programs leave of them, shape ``(n_rows, n_genes)``.
    own
        Strength of each by its perturbation's own dose response, shape ``(n_rows,)``.
    curve
        The one in common.

    Returns
    -------
    The curve in common, or ``None`` for their own.
    """
    if not len(curve.log10_dose):
        return None
    errors = [
        _left_out_error(strength, measured, residual)
        for strength in (own, curve.at(measured.log10_dose))
    ]
    return curve if errors[1] < (1 - CLEAR_GAIN) * errors[0] else None


def _left_out_error(strength: FloatArray, measured: MeasuredShifts, residual: FloatArray) -> float:
    """Weighted squared error of each condition predicted from the others of its perturbation.

    Estimates are shrunk by the ratio of the variance of effects to that with noise, one number for all.
    """
    precision = 1 / measured.variance
    effect, variance = pool_shifts(strength, measured.perturbation, residual, precision)
    is_known = np.isfinite(variance)
    between = (
        float(np.maximum((effect**2 - variance)[is_known], 0.0).mean()) if is_known.any() else 0.0
    )
    of_row = measured.perturbation
    information = np.where(is_known, 1 / variance, 0.0)
    weighted = strength[:, None] * precision
    total = (effect * information)[of_row] - weighted * residual
    left = np.maximum(information[of_row] - weighted * strength[:, None], 0.0)
    predicted = strength[:, None] * total / (left + 1 / max(between, 1e-12))
    return float((precision * (residual - predicted) ** 2).sum())
