"""Cells of simulated worlds under drugs and doses."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from scgim.datasets._checks import check_condition_columns, check_known_drugs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from scgim.datasets._simulated_cell import SimulatedCell

CELLS_PER_BLOCK = 20_000


@dataclass(frozen=True)
class SimulatedDrugs:
    r"""A cell and the drugs that move its mechanisms.

    A drug at dose :math:`d` moves the mechanisms by its shift times
    :math:`d / (d + \mathrm{EC}_{50})`; the shifts of a combination ``"A+B"`` add.

    Attributes
    ----------
    cell
        The causal model of the cell.
    names
        Names of the drugs.
    shifts
        Shift at saturating dose, shape ``(n_drugs, n_nodes)``.
    log10_ec50
        Dose of half the effect, log10, shape ``(n_drugs,)``.
    control
        Label of the control.
    is_hard
        Whether a drug also removes the share ``h(dose)`` of what the parents of its targets
        contribute.
    """

    cell: SimulatedCell
    names: Sequence[str]
    shifts: NDArray[np.float64]
    log10_ec50: NDArray[np.float64]
    _: KW_ONLY
    control: str = "vehicle"
    is_hard: bool = False

    def sample(
        self,
        conditions: pd.DataFrame,
        n_cells: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> ad.AnnData:
        """Sample cells of conditions.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.
        n_cells
            Cells of each condition, shape ``(n_conditions,)``.
        rng
            Source of randomness.

        Returns
        -------
        Counts (CSR, float32) with ``obs["drug"]``, ``obs["dose"]`` and ``obsm["true_nodes"]``, cells
        in the order of ``conditions``.
        """
        nodes, counts = [], []
        for block_nodes, block_counts in self._blocks(conditions, n_cells, rng):
            nodes.append(block_nodes.astype(np.float32))
            counts.append(sp.csr_matrix(block_counts.astype(np.float32)))
        drugs = conditions["drug"].astype(str).to_numpy()
        names = pd.Index([f"cell_{cell}" for cell in range(int(n_cells.sum()))])
        obs = pd.DataFrame(
            {
                "drug": pd.Categorical(np.repeat(drugs, n_cells)),
                "dose": np.repeat(conditions["dose"].to_numpy(dtype=float), n_cells),
            },
            index=names,
        )
        var = pd.DataFrame(index=pd.Index([f"gene_{gene}" for gene in range(self._n_genes)]))
        obsm = {"true_nodes": np.concatenate(nodes)}
        return ad.AnnData(sp.vstack(counts, format="csr"), obs=obs, var=var, obsm=obsm)

    def expected_shift(
        self, conditions: pd.DataFrame, n_cells: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Measure the true mean shift of conditions on many fresh cells.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.
        n_cells
            Fresh cells per condition.
        rng
            Source of randomness.

        Returns
        -------
        Mean log1p(CP10k) of each condition minus that of ten times as many control cells, shape
        ``(n_conditions, n_genes)``.
        """
        control = pd.DataFrame({"drug": [self.control], "dose": [0.0]})
        control_mean = self._mean_log_expression(control, 10 * n_cells, rng)
        return self._mean_log_expression(conditions, n_cells, rng) - control_mean

    def interventions(
        self, conditions: pd.DataFrame
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute what conditions do to the mechanisms.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.

        Returns
        -------
        Shift and cut share of every node per condition, each ``(n_conditions, n_nodes)``.
        """
        check_condition_columns(conditions.columns, ("drug", "dose"))
        parts = conditions["drug"].astype(str).str.split("+", regex=False)
        found = parts.explode()
        check_known_drugs(found, [*self.names, self.control])
        drug = pd.Index([*self.names, self.control]).get_indexer(found)
        row = np.repeat(np.arange(len(conditions)), parts.str.len())
        dose = conditions["dose"].to_numpy(dtype=float)[row]
        strength = dose / (dose + 10.0 ** np.append(self.log10_ec50, 0.0)[drug])
        shifts = np.vstack([self.shifts, np.zeros(self.shifts.shape[1])])[drug]
        shift = np.zeros((len(conditions), self.shifts.shape[1]))
        np.add.at(shift, row, shifts * strength[:, None])
        kept = np.ones_like(shift)
        if self.is_hard:
            np.multiply.at(kept, row, 1.0 - (shifts != 0) * strength[:, None])
        return shift, 1.0 - kept

    @property
    def _n_genes(self) -> int:
        return len(self.cell.loadings)

    def _mean_log_expression(
        self, conditions: pd.DataFrame, n_cells: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        sums = np.zeros((len(conditions), self._n_genes))
        index = np.repeat(np.arange(len(conditions)), n_cells)
        start = 0
        for _, counts in self._blocks(conditions, np.full(len(conditions), n_cells), rng):
            log_expression = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
            rows = index[start : start + len(counts)]
            first = np.flatnonzero(np.diff(rows, prepend=-1))
            sums[rows[first]] += np.add.reduceat(log_expression, first, axis=0)
            start += len(counts)
        return sums / n_cells

    def _blocks(
        self, conditions: pd.DataFrame, n_cells: NDArray[np.int64], rng: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """Yield node values and counts of the cells of all conditions, a block at a time."""
        shift, cut = self.interventions(conditions)
        index = np.repeat(np.arange(len(conditions)), n_cells)
        for start in range(0, len(index), CELLS_PER_BLOCK):
            rows = index[start : start + CELLS_PER_BLOCK]
            nodes = self.cell.sample_nodes(rng, shift[rows], cut[rows])
            yield nodes, self.cell.sample_counts(rng, nodes)
