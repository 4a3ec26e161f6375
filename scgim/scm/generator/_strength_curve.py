from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.isotonic import isotonic_regression

if TYPE_CHECKING:
    from scgim._types import FloatArray, IntArray

# The curve and the effects are fitted in turns; both stop moving in the third digit by then.
N_TURNS = 10


@dataclass(frozen=True)
class StrengthCurve:
    """Share of the largest effect that the perturbations of a screen reach at a dose, in common.

    Where few cells or wells tell little of each perturbation's own EC50, a curve that all share
    predicts doses better than one for each.

    Attributes
    ----------
    log10_dose
        Doses of the screen, log10, increasing, shape ``(n_doses,)``; empty without doses.
    strength
        Strength at each, increasing to 1, same shape.
    """

    log10_dose: FloatArray
    strength: FloatArray

    def to_dict(self) -> dict[str, FloatArray]:
        """Hold the curve as plain arrays."""
        return {"log10_dose": self.log10_dose, "strength": self.strength}

    def at(self, log10_dose: FloatArray) -> FloatArray:
        """Strength at doses.

        Between doses it is linear in the log dose, below the lowest proportional to the dose, and
        above the highest it stays.

        Parameters
        ----------
        log10_dose
            Dose, log10; minus infinity is dose zero.

        Returns
        -------
        Between 0 and 1, exactly 0 at dose zero; same shape.
        """
        if not len(self.log10_dose):
            return (np.asarray(log10_dose) > -np.inf).astype(np.float64)
        inside: FloatArray = np.interp(log10_dose, self.log10_dose, self.strength)
        below = np.minimum(log10_dose - self.log10_dose[0], 0.0)
        strength: FloatArray = inside * 10.0**below
        return strength


def fit_strength_curve(
    log10_dose: FloatArray, group: IntArray, shift: FloatArray, precision: FloatArray
) -> StrengthCurve:
    r"""Fit :math:`y_c \approx s(d_c)\, b_{k(c)}` by weighted least squares, with an increasing s.

    Parameters
    ----------
    log10_dose
        Dose of each condition, log10, shape ``(n_conditions,)``; infinity without doses.
    group
        Perturbation of each, same shape.
    shift
        Measured shift, shape ``(n_conditions, n_genes)``.
    precision
        One over its sampling variance, same shape.

    Returns
    -------
    The curve.
    """
    doses, place = np.unique(log10_dose, return_inverse=True)
    if not np.isfinite(doses).all() or len(doses) < 2:
        return StrengthCurve(doses[np.isfinite(doses)][:0], np.ones(0))
    strength = np.ones(len(doses))
    for _ in range(N_TURNS):
        effect, variance = pool_shifts(strength[place], group, shift, precision)
        # Half of the weighted effect is noise where effects are weak: what noise adds is taken off.
        explained = np.bincount(place, (precision * shift * effect[group]).sum(1))
        size = effect[group] ** 2 - variance[group]
        available = np.maximum(np.bincount(place, (precision * size).sum(1)), 0.0)
        noise = np.bincount(place, strength[place] * (precision * variance[group]).sum(1))
        raw = (explained - noise) / np.maximum(available, 1e-12)
        increasing = isotonic_regression(raw, sample_weight=available + 1e-12, y_min=0.0)
        if increasing.max() <= 0:
            return StrengthCurve(doses, np.ones(len(doses)))
        strength = increasing / increasing.max()
    return StrengthCurve(doses, strength)


def pool_shifts(
    strength: FloatArray, group: IntArray, shift: FloatArray, precision: FloatArray
) -> tuple[FloatArray, FloatArray]:
    r"""Pool the conditions of each perturbation to its effect at full strength.

    The generalised least squares estimate of :math:`b` in :math:`y_c = s_c b + e_c`, with
    :math:`e_c \sim N(0, 1 / w_c)`, is :math:`\sum s w y / \sum s^2 w`.

    Parameters
    ----------
    strength
        Strength :math:`s` of each condition, shape ``(n_conditions,)``.
    group
        Perturbation of each, same shape; codes from 0.
    shift
        Measured shift, shape ``(n_conditions, n_genes)``.
    precision
        One over its sampling variance, same shape.

    Returns
    -------
    Effects and their variance, each ``(n_groups, n_genes)``; the variance is infinite, and the effect
    0, of a perturbation without strength.
    """
    n_groups = int(group.max(initial=-1)) + 1
    weighted = strength[:, None] * precision
    total, information = (np.zeros((n_groups, shift.shape[1])) for _ in range(2))
    np.add.at(total, group, weighted * shift)
    np.add.at(information, group, weighted * strength[:, None])
    has_any = information > 0
    with np.errstate(divide="ignore"):
        variance = 1 / information
    return np.divide(total, information, out=np.zeros_like(total), where=has_any), variance
