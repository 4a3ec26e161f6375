from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scgim.scm._dose_response import LN10
from scgim.scm._empirical_bayes import (
    ConditionStatistics,
    RowPrior,
    Rows,
    estimate_free_rows,
    estimate_hill_rows,
)
from scgim.scm._intervention_generator import MIN_PERTURBATIONS, InterventionGenerator
from scgim.scm._intervention_table import PRIOR_LOG10_EC50_SD, PRIOR_SHIFT_SD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scgim.scm._perturbation_features import FloatArray

# The feature prediction is a prior mean, not the truth: its variance is doubled.
PRIOR_INFLATION = 2.0
# After the first pass the EC50 is known better than its Laplace variance says.
EC50_NOISE_AFTER_PRIOR = 0.5


class InterventionFit:
    """Empirical Bayes on the rows of the seen perturbations, then features -> rows.

    The rows that training left are re-estimated from the cells with the feature prediction as
    prior, and the generator is learned on them. Without features the prior is the weak one of
    training, and there is no generator.

    Parameters
    ----------
    statistics
        What the cells of each condition say.
    response_of
        Value of each curve in each condition for given log10 EC50 per row,
        ``(n_perturbations,)`` -> ``(n_conditions, n_curves)``.
    n_perturbations
        Rows of the table.
    log10_ec50
        Where training left log10 EC50, shape ``(n_perturbations,)``.
    hill
        Slope of all Hill curves; ``None`` where the curves are fixed.

    Attributes
    ----------
    rows
        Posterior rows of the seen perturbations.
    generator
        Features -> rows, or ``None``.
    """

    def __init__(
        self,
        statistics: ConditionStatistics,
        *,
        response: FloatArray | None,
        log10_ec50: FloatArray,
        hill: float,
    ) -> None:
        self.statistics = statistics
        self.response = response
        self.hill = hill
        self.n_curves = 1 if response is None else response.shape[1]
        self.generator: InterventionGenerator | None = None
        n_rows, width = len(log10_ec50), self.n_curves * statistics.residual.shape[1]
        self._prior = RowPrior(
            shift=np.zeros((n_rows, width)),
            shift_variance=PRIOR_SHIFT_SD**2 / self.n_curves,
            log10_ec50=np.full(n_rows, float(np.mean(log10_ec50))),
            log10_ec50_variance=np.full(n_rows, PRIOR_LOG10_EC50_SD**2),
        )
        self.rows = self._estimate(self._prior)

    def learn_generator(self, features: FloatArray, block_of_column: NDArray[np.int64]) -> None:
        """Learn features -> rows, and use it as the prior of the rows.

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
        weak = RowPrior(
            shift=np.zeros_like(self.rows.shift),
            shift_variance=PRIOR_SHIFT_SD**2 / self.n_curves,
            log10_ec50=first.left_out_log10_ec50,
            log10_ec50_variance=first.left_out_log10_ec50_variance,
        )
        ec50_noise = EC50_NOISE_AFTER_PRIOR * np.minimum(
            self._ec50_noise(), first.left_out_log10_ec50_variance
        )
        self.rows = self._estimate(weak)
        self.generator = self._generator(features, block_of_column, ec50_noise)
        error = self.rows.shift - self.generator.left_out_shift
        self._prior = replace(
            weak,
            shift=self.generator.left_out_shift,
            shift_variance=PRIOR_INFLATION * float((error**2).mean()),
            log10_ec50=self.generator.left_out_log10_ec50,
            log10_ec50_variance=self.generator.left_out_log10_ec50_variance,
        )
        self.rows = self._estimate(self._prior)

    def rows_without(self, left_out: NDArray[np.bool_]) -> Rows:
        """Estimate the rows as if some conditions had not been run.

        Parameters
        ----------
        left_out
            Which conditions to leave out, shape ``(n_conditions,)``.

        Returns
        -------
        Posterior rows.
        """
        n_cells = np.where(left_out, 0.0, self.statistics.n_cells)
        return self._estimate(self._prior, replace(self.statistics, n_cells=n_cells))

    def _estimate(self, prior: RowPrior, statistics: ConditionStatistics | None = None) -> Rows:
        statistics = self.statistics if statistics is None else statistics
        if self.response is None:
            return estimate_hill_rows(statistics, prior, self.hill)
        return estimate_free_rows(statistics, self.response, prior)

    def _generator(
        self, features: FloatArray, block_of_column: NDArray[np.int64], ec50_noise: FloatArray
    ) -> InterventionGenerator:
        return InterventionGenerator(
            features,
            block_of_column,
            self.rows,
            noise=self.rows.shift_variance,
            ec50_noise=ec50_noise,
        )

    def _ec50_noise(self) -> FloatArray:
        """Laplace variance of each log10 EC50, shape ``(n_perturbations,)``."""
        statistics, rows = self.statistics, self.rows
        steepness = self.hill * LN10
        exponent = steepness * (statistics.log10_dose - rows.log10_ec50[statistics.perturbation])
        half = 0.5 / np.cosh(np.clip(exponent, -500, 500) / 2)
        slope = steepness * half**2
        size = (rows.shift**2).sum(1)[statistics.perturbation]
        information = np.full(len(rows.shift), 1 / PRIOR_LOG10_EC50_SD**2)
        np.add.at(information, statistics.perturbation, statistics.n_cells * size * slope**2)
        return 1 / information
