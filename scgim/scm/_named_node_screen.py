from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scgim._types import FloatArray, IntArray


@dataclass(frozen=True)
class NamedNodeScreen:
    """A screen whose measured variables are the nodes.

    Attributes
    ----------
    values
        Node values of cells, standardised by the control cells, shape ``(n_cells, n_nodes)``.
    condition
        Condition of each cell, shape ``(n_cells,)``.
    perturbation
        Perturbation of each condition, shape ``(n_conditions,)``; -1 for control.
    log10_dose
        Dose of each condition, log10; infinity where there is no dose.
    features
        Features of the perturbations, shape ``(n_perturbations, n_features)``, or ``None``.
    """

    values: FloatArray
    condition: IntArray
    perturbation: IntArray
    log10_dose: FloatArray
    features: FloatArray | None = None

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return int(self.values.shape[1])

    @property
    def n_perturbations(self) -> int:
        """Perturbations, the control not counted."""
        return int(self.perturbation.max()) + 1

    def condition_means(self, values: FloatArray) -> FloatArray:
        """Average over the cells of each condition.

        Parameters
        ----------
        values
            One row per cell.

        Returns
        -------
        One row per condition.
        """
        total = np.zeros((len(self.perturbation), values.shape[1]))
        np.add.at(total, self.condition, values)
        means: FloatArray = total / self.condition_sizes[:, None]
        return means

    @property
    def condition_sizes(self) -> FloatArray:
        """Cells per condition, at least 1."""
        sizes = np.bincount(self.condition, minlength=len(self.perturbation))
        return np.maximum(sizes, 1).astype(float)
