from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray
    from scgim.scm._interventions import Intervention

# The sampling error of the 5 and 95 % quantiles is then .15 standard deviations (normal).
N_DRAWS = 200


@dataclass(frozen=True, kw_only=True)
class InterventionDistribution(ABC):
    r"""What a causal space believes that some perturbations do, one entry for each.

    This is the distribution over interventions :math:`p(I \mid k, d)` of perturbation :math:`k` at
    dose :math:`d`: the posterior where the perturbation was seen in training, and what its features
    predict where it was not.

    Attributes
    ----------
    is_seen
        Whether each perturbation was in training, shape ``(n_entries,)``.
    is_unknown
        Whether each is unlike all known mechanisms, so that it may do anything, same shape.
    n_summands
        Of how many known mechanisms each is seen as a sum, same shape.
    distance
        Distance to the nearest seen perturbation by features, same shape; above 1 is far.
    log10_ec50
        Mean of the dose of half the effect, log10, same shape.
    hill
        Slope of the Hill curve, same shape; NaN where the dose response has none.
    """

    is_seen: BoolArray
    is_unknown: BoolArray
    n_summands: IntArray
    distance: FloatArray
    log10_ec50: FloatArray
    hill: FloatArray

    @property
    @abstractmethod
    def is_uncertain(self) -> BoolArray:
        """Whether only features tell about each, and they tell something, ``(n_entries,)``."""

    @abstractmethod
    def mean(self, log10_dose: FloatArray) -> Intervention:
        """Mean intervention at doses.

        Parameters
        ----------
        log10_dose
            Dose of each entry, log10, shape ``(n_entries,)``; minus infinity is dose zero, infinity
            saturation.

        Returns
        -------
        The intervention; each tensor has shape ``(n_entries, n_nodes)``.
        """

    @abstractmethod
    def sample(
        self, log10_dose: FloatArray, n_draws: int, rng: np.random.Generator
    ) -> Intervention:
        """Draw interventions.

        Parameters
        ----------
        log10_dose
            Dose of each entry, log10, shape ``(n_entries,)``.
        n_draws
            Number of draws.
        rng
            Source of randomness.

        Returns
        -------
        The draws; each tensor has shape ``(n_draws, n_entries, n_nodes)``.
        """

    @abstractmethod
    def sample_log10_ec50(self, n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Draw log10 EC50.

        Parameters
        ----------
        n_draws
            Number of draws.
        rng
            Source of randomness.

        Returns
        -------
        The draws, shape ``(n_draws, n_entries)``.
        """

    def interval(
        self, log10_dose: FloatArray, level: float = 0.9, *, n_draws: int = N_DRAWS, seed: int = 0
    ) -> tuple[FloatArray, FloatArray]:
        """Central interval of the shift, from draws.

        Parameters
        ----------
        log10_dose
            Dose of each entry, log10, shape ``(n_entries,)``.
        level
            Share of the distribution inside the interval.
        n_draws
            Number of draws.
        seed
            Seed of the draws.

        Returns
        -------
        Lower and upper ends, each of shape ``(n_entries, n_nodes)``.
        """
        shift = self.sample(log10_dose, n_draws, np.random.default_rng(seed)).shift.numpy()
        lower, upper = np.quantile(shift, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return lower, upper
