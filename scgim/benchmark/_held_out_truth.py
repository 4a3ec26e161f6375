"""Scores of shifts and cells against the truth of held-out conditions of a simulated world."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from scgim.datasets import ProgramsWorld
from scgim.evaluation._training_screen import TrainingScreen, log_normalize
from scgim.metrics import (
    energy_distance,
    interval_coverage,
    largest_shifts,
    shift_r2,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from scgim.datasets._drug_world import DrugWorld

N_CELLS = 300
N_TOP_GENES = 50
TRUTH_SEEDS = (201, 202, 203)


@dataclass(frozen=True)
class HeldOutTruth:
    r"""True shifts and cells of held-out conditions, and how predictions compare.

    Energy distances are taken in principal components of the training cells, and are pooled over the
    conditions :math:`c` of a split: :math:`\sum_c (E(\hat x, x) - E(x', x)) / \sum_c (E(x_0, x) -
    E(x', x))` with fresh cells :math:`x`, replicate :math:`x'` and control :math:`x_0`. So 0 is a
    replicate, 1 is no effect, and conditions count by the size of their effect, as in R².

    Attributes
    ----------
    conditions
        Columns ``drug``, ``dose`` and ``split``.
    shift
        True mean shift in log1p(CP10k), shape ``(n_conditions, n_genes)``.
    cells
        Fresh cells in principal components, shape ``(n_conditions, n_cells, n_components)``.
    replicate_distance
        Energy distance of as many other fresh cells, shape ``(n_conditions,)``.
    control_distance
        Energy distance of as many control cells, shape ``(n_conditions,)``.
    """

    conditions: pd.DataFrame
    shift: NDArray[np.float64]
    cells: NDArray[np.float64]
    replicate_distance: NDArray[np.float64]
    control_distance: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        world: DrugWorld,
        screen: TrainingScreen,
        *,
        n_cells: int = N_CELLS,
        held_out: pd.DataFrame | None = None,
    ) -> HeldOutTruth:
        """Simulate the held-out conditions, those at the lowest dose of the screen left out.

        Parameters
        ----------
        world
            The simulated world.
        screen
            Its training cells, whose principal components are used.
        n_cells
            Fresh cells per condition.
        held_out
            Columns ``drug``, ``dose`` and ``split``; by default those of the world.

        Returns
        -------
        The truth of these conditions.
        """
        if held_out is None:
            assert isinstance(world, ProgramsWorld)
            held_out = world.held_out
        doses = screen.conditions["dose"]
        above = held_out["dose"] > doses[doses > 0].min()
        conditions = held_out[above].reset_index(drop=True)
        control = conditions.assign(drug=screen.keys.control, dose=0.0)
        sampled = (conditions, conditions, control)
        cells, replicate, unperturbed = (
            project(screen, _expression(world, table, n_cells, seed))
            for table, seed in zip(sampled, TRUTH_SEEDS, strict=True)
        )
        return cls(
            conditions=conditions,
            shift=world.expected_shift(conditions),
            cells=cells,
            replicate_distance=_distances(replicate, cells),
            control_distance=_distances(unperturbed, cells),
        )

    @property
    def top_genes(self) -> NDArray[np.bool_]:
        """The genes that truly move most in each condition, ``(n_conditions, n_genes)``."""
        return largest_shifts(self.shift, N_TOP_GENES)

    @property
    def splits(self) -> dict[str, NDArray[np.bool_]]:
        """The conditions of each split, ``(n_conditions,)``."""
        split = self.conditions["split"]
        return {name: (split == name).to_numpy() for name in split.unique()}

    def where(self, is_kept: NDArray[np.bool_]) -> HeldOutTruth:
        """Keep some of the conditions.

        Parameters
        ----------
        is_kept
            Shape ``(n_conditions,)``.

        Returns
        -------
        The truth of these.
        """
        kept = {one.name: getattr(self, one.name)[is_kept] for one in fields(self)}
        kept["conditions"] = kept["conditions"].reset_index(drop=True)
        return HeldOutTruth(**kept)

    def score_shift(self, shift: NDArray[np.float64]) -> dict[str, float]:
        """Compute R² of the mean shift over the true top genes, by split.

        Parameters
        ----------
        shift
            Predicted mean shift, shape ``(n_conditions, n_genes)``.

        Returns
        -------
        R² of each split.
        """
        genes = self.top_genes
        return {
            split: shift_r2(shift[rows], self.shift[rows], genes=genes[rows])
            for split, rows in self.splits.items()
        }

    def score_cells(self, cells: NDArray[np.float64]) -> dict[str, float]:
        """Compute the normalised energy distance, by split.

        Parameters
        ----------
        cells
            Predicted cells in principal components, ``(n_conditions, n_cells, n_components)``.

        Returns
        -------
        Pooled normalised energy distance of each split.
        """
        excess = _distances(cells, self.cells) - self.replicate_distance
        no_effect = self.control_distance - self.replicate_distance
        return {
            split: float(excess[rows].sum() / no_effect[rows].sum())
            for split, rows in self.splits.items()
        }

    def score_interval(
        self, lower: NDArray[np.float64], upper: NDArray[np.float64]
    ) -> dict[str, float]:
        """Compute how often the interval of a mean shift covers the true one, by split.

        Parameters
        ----------
        lower
            Lower ends, shape ``(n_conditions, n_genes)``.
        upper
            Upper ends, same shape.

        Returns
        -------
        Coverage over the true top genes of each split.
        """
        genes = self.top_genes
        return {
            split: interval_coverage(lower[rows], upper[rows], self.shift[rows], where=genes[rows])
            for split, rows in self.splits.items()
        }


def project(screen: TrainingScreen, expression: NDArray[np.float32]) -> NDArray[np.float64]:
    """Project cells on the principal components of the training cells.

    Parameters
    ----------
    screen
        The training cells.
    expression
        log1p(CP10k), shape ``(n_conditions, n_cells, n_genes)``.

    Returns
    -------
    Component scores, shape ``(n_conditions, n_cells, n_components)``.
    """
    flat = expression.reshape(-1, expression.shape[-1])
    return screen.pca.transform(flat).reshape(*expression.shape[:2], -1).astype(np.float64)


def _expression(
    world: DrugWorld, conditions: pd.DataFrame, n_cells: int, seed: int
) -> NDArray[np.float32]:
    expression = log_normalize(world.sample(conditions, n_cells, seed=seed).X)
    return expression.reshape(len(conditions), n_cells, -1)


def _distances(cells: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energy distance of each condition."""
    return np.array([energy_distance(*pair) for pair in zip(cells, truth, strict=True)])
