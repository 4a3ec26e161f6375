"""What a simulated world allows at most: predictors that sample the true cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim.evaluation._checks import check_is_fitted
from scgim.evaluation._expression_space import log_normalize

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd
    from numpy.typing import NDArray

    from scgim.datasets import ProgramsWorld
    from scgim.datasets._drug_world import DrugWorld
    from scgim.evaluation import TrainingScreen

CELLS_FOR_MEAN = 1000


class _TrueCells:
    """Cells of the world itself; base of the ceilings."""

    name: str

    def __init__(self, world: DrugWorld, *, seed: int) -> None:
        self.world = world
        self.seed = seed
        self._control_mean: NDArray[np.float64] | None = None

    def fit(self, screen: TrainingScreen) -> None:
        """Keep the mean of the control cells.

        Parameters
        ----------
        screen
            The training cells.
        """
        self._control_mean = screen.control_mean

    def _shift_of(self, conditions: pd.DataFrame, n_cells: int) -> NDArray[np.float64]:
        check_is_fitted(self.name, is_fitted=self._control_mean is not None)
        cells = self._sample(conditions, n_cells, self.seed)
        return cells.mean(axis=1, dtype=np.float64) - self._control_mean

    def _sample(self, conditions: pd.DataFrame, n_cells: int, seed: int) -> NDArray[np.float32]:
        return _stack_cells(self.world.sample(conditions, n_cells, seed=seed), n_cells)


class ReplicateCeiling(_TrueCells):
    """As many true cells of the condition as the screen would have measured.

    Parameters
    ----------
    world
        The simulated world.
    n_measured
        Cells that the screen measures per condition.
    seed
        Seed of the replicate.
    """

    def __init__(self, world: DrugWorld, *, n_measured: int = 50, seed: int = 101) -> None:
        super().__init__(world, seed=seed)
        self.name = "replicate ceiling"
        self.n_measured = n_measured

    def predict_shift(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Measure mean shifts on the replicate.

        Parameters
        ----------
        conditions
            Columns of perturbation and dose.

        Returns
        -------
        Mean shift in log1p(CP10k), shape ``(n_conditions, n_genes)``.
        """
        return self._shift_of(conditions, self.n_measured)

    def predict_cells(
        self, conditions: pd.DataFrame, n_cells: int, *, seed: int
    ) -> NDArray[np.float32]:
        """Draw cells from the replicate, with replacement.

        Parameters
        ----------
        conditions
            Columns of perturbation and dose.
        n_cells
            Cells per condition.
        seed
            Seed of the draw.

        Returns
        -------
        log1p(CP10k), shape ``(n_conditions, n_cells, n_genes)``.
        """
        measured = self._sample(conditions, self.n_measured, self.seed)
        shape = (len(conditions), n_cells)
        drawn = np.random.default_rng(seed).integers(self.n_measured, size=shape)
        return np.take_along_axis(measured, drawn[:, :, None], axis=1)


class OracleGenerator(_TrueCells):
    """The true model of the world, as a predictor that nothing can beat.

    Parameters
    ----------
    world
        The simulated world.
    seed
        Seed of its cells for mean shifts.
    """

    def __init__(self, world: ProgramsWorld, *, seed: int = 102) -> None:
        super().__init__(world, seed=seed)
        self.name = "oracle"

    def predict_shift(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Measure mean shifts on many cells of the true model.

        Parameters
        ----------
        conditions
            Columns of perturbation and dose.

        Returns
        -------
        Mean shift in log1p(CP10k), shape ``(n_conditions, n_genes)``.
        """
        return self._shift_of(conditions, CELLS_FOR_MEAN)

    def predict_cells(
        self, conditions: pd.DataFrame, n_cells: int, *, seed: int
    ) -> NDArray[np.float32]:
        """Sample cells of the true model.

        Parameters
        ----------
        conditions
            Columns of perturbation and dose.
        n_cells
            Cells per condition.
        seed
            Seed of the cells.

        Returns
        -------
        log1p(CP10k), shape ``(n_conditions, n_cells, n_genes)``.
        """
        return self._sample(conditions, n_cells, self.seed + 1 + seed)


def _stack_cells(adata: ad.AnnData, n_cells: int) -> NDArray[np.float32]:
    """Bring cells that lie condition after condition into ``(n_conditions, n_cells, n_genes)``."""
    expression = log_normalize(adata.X)
    return expression.reshape(-1, n_cells, expression.shape[1])
