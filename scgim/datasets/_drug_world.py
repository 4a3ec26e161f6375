"""What simulated worlds of drugs have in common: cells of any condition, and their true shift."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from scgim._messages import check_at_least

if TYPE_CHECKING:
    import anndata as ad
    from numpy.typing import NDArray

    from scgim.datasets._simulated_drugs import SimulatedDrugs


class DrugWorld(ABC):
    """A simulated cell under drugs and doses, of which everything is known.

    Attributes
    ----------
    seed
        Seed of everything that is true of the world.
    n_control
        Control cells of its screen.
    n_cells
        Cells per condition of its screen.
    """

    seed: int
    n_control: int
    n_cells: int

    # Random streams of the screen, of fresh cells and of expected shifts start here.
    _first_stream: ClassVar[int]

    @property
    @abstractmethod
    def simulator(self) -> SimulatedDrugs:
        """The true cell and the true interventions of all drugs."""

    @abstractmethod
    def screen(self) -> ad.AnnData:
        """Simulate the cells of the screen."""

    def sample(self, conditions: pd.DataFrame, n_cells: int, *, seed: int) -> ad.AnnData:
        """Simulate fresh cells of any condition.

        Parameters
        ----------
        conditions
            Columns ``drug`` (a drug of the world, its control, or a combination ``"A+B"``, whose
            shifts add) and ``dose`` (in the units of the world).
        n_cells
            Cells per row of ``conditions``.
        seed
            Seed of these cells; the world itself does not change.

        Returns
        -------
        Counts (CSR, float32) with ``obs["drug"]``, ``obs["dose"]`` and ``obsm["true_nodes"]``, cells
        in the order of ``conditions``.
        """
        check_at_least("n_cells", n_cells, 1)
        sizes = np.full(len(conditions), n_cells)
        return self.simulator.sample(conditions, sizes, self._stream(1, seed))

    def expected_shift(
        self, conditions: pd.DataFrame, *, n_cells: int = 1000, seed: int = 0
    ) -> NDArray[np.float64]:
        """Measure the true mean shift of conditions on many fresh cells.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``, as for :meth:`sample`.
        n_cells
            Fresh cells per condition.
        seed
            Seed of these cells.

        Returns
        -------
        Mean log1p(CP10k) of each condition minus that of ten times as many control cells, shape
        ``(n_conditions, n_genes)``.
        """
        return self.simulator.expected_shift(conditions, n_cells, self._stream(2, seed))

    def _simulate(self, treated: pd.DataFrame) -> ad.AnnData:
        """Simulate control cells and those of the conditions of a screen."""
        control = pd.DataFrame({"drug": [self.simulator.control], "dose": [0.0]})
        conditions = pd.concat([control, treated], ignore_index=True)
        n_cells = np.full(len(conditions), self.n_cells)
        n_cells[0] = self.n_control
        return self.simulator.sample(conditions, n_cells, self._stream(0))

    def _stream(self, index: int, *seed: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self._first_stream + index, *seed])
