from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from scgim._types import FloatArray
    from scgim.spaces._population import Population

# Folds beyond e^6 = 400 are not told apart by counts of a cell; the step of .25 is far below what a
# mean shift is measured to, and the curve is linear in between.
MAX_LOG_FOLD = 6.0
N_FOLDS = 49


@dataclass(frozen=True)
class RateScale:
    """Between mean shifts of log1p(CP10k) and log folds of the rate, gene by gene.

    The mean of log1p(CP10k) is a curved function of a gene's rate, and flat where the gene is hardly
    seen, so a shift of the one scale is not a shift of the other.

    Attributes
    ----------
    log_fold
        Natural log of the factor on the rate, increasing, shape ``(n_folds,)``.
    shift
        Mean shift of expression in control cells under each, shape ``(n_folds, n_genes)``; ``None``
        where expression came transformed and both scales are one.
    """

    log_fold: FloatArray
    shift: FloatArray | None

    @classmethod
    def of_population(cls, population: Population, *, is_count: bool) -> RateScale:
        """Tabulate the curve of each gene.

        Parameters
        ----------
        population
            Control cells.
        is_count
            Whether expression is counts.

        Returns
        -------
        The scale.
        """
        log_fold = np.linspace(-MAX_LOG_FOLD, MAX_LOG_FOLD, N_FOLDS)
        if not is_count:
            return cls(log_fold, None)
        curves = population.rate_curves(torch.as_tensor(log_fold, dtype=torch.float32))
        return cls(log_fold, np.maximum.accumulate(curves.double().numpy(), axis=0))

    def to_log_fold(self, shift: FloatArray) -> FloatArray:
        """Find the log fold of the rate that moves control cells by a mean shift.

        Parameters
        ----------
        shift
            Mean shifts of expression, shape ``(..., n_genes)``.

        Returns
        -------
        Log folds between -6 and 6, same shape; shifts as they are where expression came transformed.
        """
        if self.shift is None:
            return shift
        flat = shift.reshape(-1, shift.shape[-1])
        below = np.zeros(flat.shape, dtype=np.int64)
        for curve in self.shift[1:-1]:
            below += flat >= curve
        low, high = (np.take_along_axis(self.shift, below + step, 0) for step in (0, 1))
        share = np.divide(flat - low, high - low, out=np.zeros_like(flat), where=high > low)
        step_size = self.log_fold[1] - self.log_fold[0]
        log_fold = self.log_fold[below] + step_size * np.clip(share, 0.0, 1.0)
        return log_fold.reshape(shift.shape)
