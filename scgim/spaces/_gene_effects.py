from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim.scm.generator._strength_curve import fit_strength_curve, pool_shifts
from scgim.spaces._direct_effects import estimate_direct_effects
from scgim.spaces._measured_shifts import MeasuredShifts, measure_shifts
from scgim.spaces._unseen_effects import learn_unseen_effects

if TYPE_CHECKING:
    from scgim._types import FloatArray
    from scgim.scm import ConditionStatistics
    from scgim.scm.generator._strength_curve import StrengthCurve
    from scgim.spaces._latent_fit import LatentFit


@dataclass(frozen=True)
class LeftOutShifts:
    """What is added to the nodes' shift of conditions that were left out, to judge predictions by.

    Attributes
    ----------
    measured
        The conditions.
    seen
        Direct effects estimated from the other doses of the perturbation, ``(n_rows, n_genes)``.
    unseen
        What the stack adds with the perturbation left out, same shape.
    """

    measured: MeasuredShifts
    seen: FloatArray
    unseen: FloatArray

    def of_conditions(self, shift: FloatArray, conditions: ConditionStatistics) -> FloatArray:
        """Average a shift over contexts, in the order of conditions; 0 where none was measured.

        Parameters
        ----------
        shift
            Of each measured condition, shape ``(n_rows, n_genes)``.
        conditions
            Single perturbations at doses.

        Returns
        -------
        Shape ``(n_conditions, n_genes)``.
        """
        measured = self.measured
        keys = pd.MultiIndex.from_arrays([conditions.perturbation, conditions.log10_dose])
        place = keys.get_indexer(
            pd.MultiIndex.from_arrays([measured.perturbation, measured.log10_dose])
        )
        weight = 1 / measured.variance.mean(1)
        total = np.zeros((len(keys), shift.shape[1]))
        np.add.at(total, place, shift * weight[:, None])
        return total / np.maximum(np.bincount(place, weight, len(keys)), 1e-12)[:, None]


def _dispersion(measured: MeasuredShifts, curve: StrengthCurve) -> FloatArray:
    """How much more the conditions of a perturbation scatter than their cells say, ``(n_rows, 1)``.

    Replicates, plates and doses that do not follow the curve add to the noise of a condition's mean.
    What one effect at the strengths of the doses leaves, over its degrees of freedom and never below
    one, is the dispersion of quasi-likelihood (McCullagh and Nelder 1989, section 4.5); a perturbation
    with a single condition has that of the usual one.
    """
    strength, group = curve.at(measured.log10_dose), measured.perturbation
    precision = 1 / measured.variance
    effect = pool_shifts(strength, group, measured.shift, precision)[0]
    left = (precision * (measured.shift - strength[:, None] * effect[group]) ** 2).mean(1)
    n_groups = int(group.max()) + 1
    degrees = np.bincount(group, minlength=n_groups) - 1.0
    has_any = degrees > 0
    if not has_any.any():
        return np.ones((len(group), 1))
    scatter = np.bincount(group, left, n_groups)
    of_group = np.divide(scatter, degrees, out=np.ones(n_groups), where=has_any)
    of_group[~has_any] = np.median(of_group[has_any])
    return np.maximum(of_group, 1.0)[group, None]


def learn_gene_effects(fit: LatentFit) -> tuple[LatentFit, LeftOutShifts | None]:
    """Learn what nodes leave of the measured shifts, of seen and of unseen perturbations.

    Parameters
    ----------
    fit
        What was learned of the nodes.

    Returns
    -------
    The same with direct effects, and what is needed to calibrate its intervals; ``None`` where no
    condition can be compared with control cells of its context.
    """
    measured = measure_shifts(fit.statistics, fit.screen)
    if measured is None:
        return fit, None
    curve = fit_strength_curve(
        measured.log10_dose, measured.perturbation, measured.shift, 1 / measured.variance
    )
    measured = replace(measured, variance=measured.variance * _dispersion(measured, curve))
    direct, seen = estimate_direct_effects(fit, measured, curve)
    learned = learn_unseen_effects(fit, measured, curve)
    stack, unseen = None, np.zeros_like(seen)
    if learned is not None:
        stack, predicted, causal = learned
        unseen = predicted - causal
    learned_fit = fit.with_values(direct=direct, stack=stack)
    return learned_fit, LeftOutShifts(measured, seen, unseen)
