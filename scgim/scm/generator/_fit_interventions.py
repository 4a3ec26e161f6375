from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scgim.scm._dose_response import hill_gradient
from scgim.scm.generator._empirical_bayes import (
    ConditionStatistics,
    RandomEffects,
    estimate_free_effects,
    estimate_hill_effects,
)
from scgim.scm.generator._intervention_generator import MIN_PERTURBATIONS, InterventionGenerator
from scgim.scm.generator._intervention_table import PRIOR_LOG10_EC50_SD, PRIOR_SHIFT_SD

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray

# The feature prediction is a prior mean, not the truth: its variance is twice its mean squared
# left-out error, as in the prototype study.
PRIOR_INFLATION = 2.0
# After the first pass the EC50 is known better than its Laplace variance says.
EC50_NOISE_AFTER_PRIOR = 0.5


class InterventionFit:
    """Empirical Bayes on the effects of the seen perturbations, then features -> effects.

    The effects that training left are re-estimated from the cells with the feature prediction as
    prior, and the generator is learned on them. Without features the prior is the weak one of
    training, and there is no generator. A perturbation that was run in combinations only has no
    condition of its own and keeps the effect that training left.

    Parameters
    ----------
    statistics
        What the cells of each condition say.
    response
        Value of each fixed curve in each condition, shape ``(n_conditions, n_curves)``; ``None``
        for Hill curves.
    shift
        Where training left the shifts, shape ``(n_perturbations, n_curves * n_nodes)``.
    log10_ec50
        Where training left log10 EC50, shape ``(n_perturbations,)``.
    hill
        Slope of all Hill curves.

    Attributes
    ----------
    effects
        Posterior effects of the seen perturbations.
    generator
        Features -> effects, or ``None``.
    """

    def __init__(
        self,
        statistics: ConditionStatistics,
        *,
        response: FloatArray | None,
        shift: FloatArray,
        log10_ec50: FloatArray,
        hill: float,
    ) -> None:
        self.statistics = statistics
        self.response = response
        self.hill = hill
        self.n_curves = 1 if response is None else response.shape[1]
        self.generator: InterventionGenerator | None = None
        self._trained_shift, self._trained_log10_ec50 = shift, log10_ec50
        n_perturbations = len(log10_ec50)
        self._prior = RandomEffects(
            shift=np.zeros_like(shift),
            shift_variance=np.full(n_perturbations, PRIOR_SHIFT_SD**2 / self.n_curves),
            log10_ec50=np.full(n_perturbations, float(np.mean(log10_ec50))),
            log10_ec50_variance=np.full(n_perturbations, PRIOR_LOG10_EC50_SD**2),
        )
        self.effects = self._estimate(self._prior)

    def learn_generator(self, features: FloatArray, block_of_column: IntArray) -> None:
        """Learn features -> effects, and use it as the prior of the effects.

        Parameters
        ----------
        features
            Features of the seen perturbations, shape ``(n_perturbations, n_features)``.
        block_of_column
            Block of each feature, shape ``(n_features,)``.
        """
        if len(features) < MIN_PERTURBATIONS:
            return
        first = self._generator(features, block_of_column, self._ec50_noise())
        n_perturbations = len(features)
        weak = RandomEffects(
            shift=np.zeros_like(self.effects.shift),
            shift_variance=np.full(n_perturbations, PRIOR_SHIFT_SD**2 / self.n_curves),
            log10_ec50=first.left_out_log10_ec50,
            log10_ec50_variance=first.left_out_log10_ec50_variance,
        )
        ec50_noise = EC50_NOISE_AFTER_PRIOR * np.minimum(
            self._ec50_noise(), first.left_out_log10_ec50_variance
        )
        self.effects = self._estimate(weak)
        self.generator = self._generator(features, block_of_column, ec50_noise)
        error = self.effects.shift - self.generator.left_out_shift
        self._prior = replace(
            weak,
            shift=self.generator.left_out_shift,
            shift_variance=np.full(n_perturbations, PRIOR_INFLATION * float((error**2).mean())),
            log10_ec50=self.generator.left_out_log10_ec50,
            log10_ec50_variance=self.generator.left_out_log10_ec50_variance,
        )
        self.effects = self._estimate(self._prior)

    def effects_without(self, left_out: BoolArray) -> RandomEffects:
        """Estimate the effects as if some conditions had not been run.

        Parameters
        ----------
        left_out
            Which conditions to leave out, shape ``(n_conditions,)``.

        Returns
        -------
        The posterior.
        """
        n_cells = np.where(left_out, 0.0, self.statistics.n_cells)
        return self._estimate(self._prior, replace(self.statistics, n_cells=n_cells))

    def _estimate(
        self, prior: RandomEffects, statistics: ConditionStatistics | None = None
    ) -> RandomEffects:
        statistics = self.statistics if statistics is None else statistics
        if self.response is None:
            return self._keep_trained(estimate_hill_effects(statistics, prior, self.hill))
        return self._keep_trained(estimate_free_effects(statistics, self.response, prior))

    def _keep_trained(self, effects: RandomEffects) -> RandomEffects:
        """Put back what training learned of perturbations without a condition of their own.

        Their uncertainty is taken to be that of the others.
        """
        has_own = np.isin(np.arange(len(effects.shift)), self.statistics.perturbation)
        if has_own.all():
            return effects
        usual = (
            np.median(effects.shift_variance[has_own]) if has_own.any() else effects.shift_variance
        )
        return replace(
            effects,
            shift=np.where(has_own[:, None], effects.shift, self._trained_shift),
            shift_variance=np.where(has_own, effects.shift_variance, usual),
            log10_ec50=np.where(has_own, effects.log10_ec50, self._trained_log10_ec50),
        )

    def _generator(
        self, features: FloatArray, block_of_column: IntArray, ec50_noise: FloatArray
    ) -> InterventionGenerator:
        return InterventionGenerator(
            features,
            block_of_column,
            self.effects,
            noise=self.effects.shift_variance,
            ec50_noise=ec50_noise,
        )

    def _ec50_noise(self) -> FloatArray:
        """Laplace variance of each log10 EC50, shape ``(n_perturbations,)``."""
        statistics, effects = self.statistics, self.effects
        log10_ec50 = effects.log10_ec50[statistics.perturbation]
        slope = hill_gradient(statistics.log10_dose, log10_ec50, self.hill)[..., 0]
        size = (effects.shift**2).sum(1)[statistics.perturbation]
        information = np.full(len(effects.shift), 1 / PRIOR_LOG10_EC50_SD**2)
        np.add.at(information, statistics.perturbation, statistics.n_cells * size * slope**2)
        return 1 / information
