from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from scgim.scm import Intervention

if TYPE_CHECKING:
    import pandas as pd

    from scgim.scm import InterventionDistribution


@dataclass(frozen=True)
class Conditions:
    """Conditions with the interventions that the model thinks they are.

    A condition has one entry for each perturbation in it, and none for the control.

    Attributes
    ----------
    obs
        One row per condition: the user's columns, ``is_seen``, ``is_dose_extrapolated``,
        ``feature_distance``, ``feature_similarity`` and ``nearest_perturbation``.
    condition
        Condition of each entry, shape ``(n_entries,)``.
    names
        Perturbation of each entry.
    log10_dose
        Dose of each entry, log10; infinity is saturation.
    distribution
        What each entry's perturbation is believed to do.
    """

    obs: pd.DataFrame
    condition: np.ndarray
    names: list[str]
    log10_dose: np.ndarray
    distribution: InterventionDistribution

    @property
    def condition_n_summands(self) -> np.ndarray:
        """Mechanisms summed in the most uncertain entry of each condition."""
        total = np.ones(len(self.obs), int)
        np.maximum.at(total, self.condition, self.distribution.n_summands)
        return total

    def at_saturation(self) -> Conditions:
        """Raise all doses beyond all EC50."""
        return replace(self, log10_dose=np.full(len(self.log10_dose), np.inf))

    def intervention(self) -> Intervention:
        """Mean intervention of each condition; tensors of shape ``(n_conditions, n_nodes)``."""
        return self._join(self.distribution.mean(self.log10_dose))

    def draw(self, n_draws: int, rng: np.random.Generator) -> Intervention:
        """Draw from the distribution over interventions, ``(n_draws, n_conditions, n_nodes)``."""
        return self._join(self.distribution.sample(self.log10_dose, n_draws, rng))

    @property
    def is_uncertain(self) -> np.ndarray:
        """Whether a condition has a perturbation that only its features tell about."""
        return self._has_any(self.distribution.is_uncertain)

    @property
    def is_unknown(self) -> np.ndarray:
        """Whether a condition has a perturbation that is unlike all known mechanisms."""
        return self._has_any(self.distribution.is_unknown)

    def of_cells(self, n_cells: int, rng: np.random.Generator | None) -> Intervention:
        """Intervention of each cell, drawn where it is uncertain unless ``rng`` is ``None``.

        Tensors have the shape ``(n_conditions, n_cells, n_nodes)``.
        """
        mean = self.intervention().map(lambda values: values[:, None].expand(-1, n_cells, -1))
        if rng is None or not self.is_uncertain.any():
            return mean
        drawn = self.draw(n_cells, rng).map(lambda values: values.swapaxes(0, 1))
        uncertain = torch.as_tensor(self.is_uncertain)[:, None, None]
        return Intervention(
            shift=torch.where(uncertain, drawn.shift, mean.shift),
            noise_scale=torch.where(uncertain, drawn.noise_scale, mean.noise_scale),
            is_cut=torch.where(uncertain, drawn.is_cut, mean.is_cut),
        )

    def _has_any(self, is_entry: np.ndarray) -> np.ndarray:
        has_any = np.zeros(len(self.obs), bool)
        np.logical_or.at(has_any, self.condition, is_entry)
        return has_any

    def _join(self, entries: Intervention) -> Intervention:
        """Join the entries of each condition; that of the control is empty."""
        shape = (*entries.shift.shape[:-2], len(self.obs), entries.shift.shape[-1])
        index = torch.as_tensor(self.condition)

        def multiply(values: torch.Tensor) -> torch.Tensor:
            place = index[:, None].expand(values.shape)
            return torch.ones(shape, dtype=values.dtype).scatter_reduce(-2, place, values, "prod")

        shift = torch.zeros(shape, dtype=entries.shift.dtype)
        return Intervention(
            shift=shift.index_add(-2, index, entries.shift),
            noise_scale=multiply(entries.noise_scale),
            is_cut=1 - multiply(1 - entries.is_cut),
        )
