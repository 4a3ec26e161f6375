"""What annotations, and structure alone, allow at most in World C."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim.evaluation._expression_space import log_normalize
from scgim.evaluation._simple_baselines import SameClassMean
from scgim.scm import InterventionGenerator
from scgim.scm.generator._empirical_bayes import RandomEffects

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from scgim.datasets import ChemistryWorld
    from scgim.evaluation._training_screen import TrainingScreen

CELLS_FOR_MEAN = 500
# Variance of rows that are known exactly, so that kernels can be inverted.
NO_NOISE = 1e-3


class ClassOracle(SameClassMean):
    """The mean measured shift of the training perturbations of the same class, at the nearest dose.

    It is told the class, which no predictor is. Perturbations whose class was not in training are
    predicted to have no effect.

    Parameters
    ----------
    classes
        Class of each perturbation.
    """

    name = "class oracle"

    def _why_not_condition(
        self, screen: TrainingScreen, label: str, dose: float, context: str
    ) -> str:
        del screen, label, dose, context
        return ""

    def _mean_at(self, rows: NDArray[np.bool_], log10_dose: float) -> NDArray[np.float64]:
        if not rows.any():
            return np.zeros(self._shift.shape[1])
        return super()._mean_at(rows, log10_dose)


class StructureCeiling:
    """The true cell and the true interventions of the training drugs; only the rest is predicted.

    What is left to learn is features to interventions, with GIM's own generator: nothing that is done
    about noisy counts can beat it, but a better use of the same features could.

    Parameters
    ----------
    world
        The simulated world.
    """

    name = "feature ceiling"

    def __init__(self, world: ChemistryWorld) -> None:
        self.world = world

    def fit(self, screen: TrainingScreen) -> None:
        """Learn the generator on the true interventions of the training drugs.

        Parameters
        ----------
        screen
            The training cells, for their names, features and control mean.
        """
        self._control_mean = screen.control_mean
        self._features = screen.features
        names = sorted(set(_labels(screen)))
        truth = self.world.truth
        noise = np.full(len(names), NO_NOISE)
        rows = RandomEffects(
            shift=truth["shifts"].loc[names].to_numpy(),
            shift_variance=noise,
            log10_ec50=truth["log10_ec50"].loc[names, "log10_ec50"].to_numpy(),
            log10_ec50_variance=noise,
        )
        self._generator = InterventionGenerator(
            screen.features.loc[names].to_numpy(dtype=float),
            screen.feature_blocks,
            rows,
            noise=noise,
            ec50_noise=noise,
        )

    def predict_shift(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Measure mean shifts on many cells.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.

        Returns
        -------
        Mean shift in log1p(CP10k), shape ``(n_conditions, n_genes)``.
        """
        cells = self.predict_cells(conditions, CELLS_FOR_MEAN, seed=0)
        return cells.mean(axis=1, dtype=np.float64) - self._control_mean

    def predict_cells(
        self, conditions: pd.DataFrame, n_cells: int, *, seed: int
    ) -> NDArray[np.float32]:
        """Sample cells of the true cell, each with an intervention that the features allow for.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.
        n_cells
            Cells per condition.
        seed
            Seed of the cells.

        Returns
        -------
        log1p(CP10k), shape ``(n_conditions, n_cells, n_genes)``.
        """
        rng = np.random.default_rng(seed)
        generated = self._generator.predict(
            self._features.loc[conditions["drug"].astype(str)].to_numpy(dtype=float)
        )
        shift = np.broadcast_to(generated.shift, (n_cells, *generated.shift.shape))
        log10_ec50 = np.broadcast_to(generated.log10_ec50, shift.shape[:2])
        if self._generator.is_informative:
            drawn = self._generator.draw_residuals(
                generated.n_summands, generated.is_unknown, n_cells, rng
            )
            shift, log10_ec50 = shift + drawn[0], log10_ec50 + drawn[1]
        dose = conditions["dose"].to_numpy(dtype=float)
        strength = dose / (dose + 10.0**log10_ec50)
        moved = (shift * strength[..., None]).swapaxes(0, 1).reshape(-1, shift.shape[-1])
        cell = self.world.simulator.cell
        counts = cell.sample_counts(rng, cell.sample_nodes(rng, moved, np.zeros_like(moved)))
        return log_normalize(counts.astype(np.float32)).reshape(len(conditions), n_cells, -1)


def _labels(screen: TrainingScreen) -> list[str]:
    return screen.conditions["perturbation"].tolist()
