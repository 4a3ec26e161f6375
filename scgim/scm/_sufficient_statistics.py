from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scgim._types import FloatArray, IntArray

# Hinges of the prototype study: chosen, not tuned. Each is one more parameter per edge.
KNOT_QUANTILES = (0.15, 0.5, 0.85)
KNOT_SHARPNESS = 3.0
# Prior variance of a shift in units of the noise variance: shifts of two standard deviations.
SHIFT_VARIANCE = 4.0
# Least price of a target, in nats: that of the prototype study for one condition, prior odds of 1 in
# 400.
MIN_TARGET_PENALTY = 6.0


@dataclass(frozen=True)
class SplineBasis:
    r"""Additive basis of smooth hinges for non-linear mechanisms.

    Each node enters as itself and as :math:`\mathrm{softplus}(a(x - q))/a` at three quantiles.

    Attributes
    ----------
    knots
        Positions of the hinges, shape ``(n_hinges, n_nodes)``; no rows for the linear basis.
    """

    knots: FloatArray

    @classmethod
    def fit(cls, values: FloatArray, *, is_linear: bool) -> SplineBasis:
        """Place the hinges at quantiles of the nodes.

        Parameters
        ----------
        values
            Node values of cells, shape ``(n_cells, n_nodes)``.
        is_linear
            Use no hinge at all.

        Returns
        -------
        The basis.
        """
        quantiles = () if is_linear else KNOT_QUANTILES
        return cls(np.quantile(values, np.asarray(quantiles, dtype=float), axis=0))

    @property
    def n_functions(self) -> int:
        """Functions per node."""
        return 1 + len(self.knots)

    def expand(self, values: FloatArray) -> FloatArray:
        """Evaluate the basis.

        Parameters
        ----------
        values
            Node values, shape ``(n_cells, n_nodes)``.

        Returns
        -------
        Columns ``[all nodes | first hinge of all nodes | ...]``, shape
        ``(n_cells, n_functions * n_nodes)``.
        """
        hinges = [
            np.logaddexp(0.0, KNOT_SHARPNESS * (values - knot)) / KNOT_SHARPNESS
            for knot in self.knots
        ]
        return np.concatenate([values, *hinges], axis=1)


@dataclass(frozen=True)
class SufficientStatistics:
    r"""All that a Gaussian additive causal model needs to know of a screen.

    Shift interventions move the means of conditions and leave the scatter within a condition alone,
    so the two are kept apart. The last entry of the last axis belongs to the control cells.

    Attributes
    ----------
    within
        Scatter within conditions, summed per perturbation, shape ``(n_columns + 1, n_columns + 1,
        n_perturbations + 1)``; columns as in :meth:`SplineBasis.expand`, then the intercept, whose
        scatter is 0.
    between
        :math:`\sum_k n_k \mu_k \mu_k^\top` over the conditions of a perturbation, with a 1 for the
        intercept; same shape.
    n_cells
        Cells per perturbation, the control last, shape ``(n_perturbations + 1,)``.
    target_penalty
        Cost in nats of calling a node a target of a perturbation, shape ``(n_perturbations,)``.
    n_nodes
        Number of nodes.
    basis
        Basis of the columns.
    """

    within: FloatArray
    between: FloatArray
    n_cells: FloatArray
    target_penalty: FloatArray
    n_nodes: int
    basis: SplineBasis

    @property
    def n_perturbations(self) -> int:
        """Perturbations, the control not counted."""
        return len(self.n_cells) - 1

    def columns_of(self, nodes: IntArray) -> IntArray:
        """Columns of the basis functions of nodes.

        Parameters
        ----------
        nodes
            Nodes, shape ``(..., n_chosen)``.

        Returns
        -------
        Columns, shape ``(..., n_chosen * n_functions)``.
        """
        starts = self.n_nodes * np.arange(self.basis.n_functions)
        columns = nodes[..., None] + starts
        return columns.reshape(*nodes.shape[:-1], -1)


def compute_target_penalty(
    n_cells: IntArray | FloatArray, perturbation: IntArray, n_nodes: int
) -> FloatArray:
    r"""Price in nats of calling a node a target of a perturbation.

    Its shifts, one per condition, have a Gaussian prior of two noise standard deviations, whose
    Occam factor is :math:`\tfrac12\sum_k \log(1 + 4 n_k)`; about two nodes in d are targets, which
    adds :math:`\log(d/2)`.

    Parameters
    ----------
    n_cells
        Cells of each condition, shape ``(n_conditions,)``.
    perturbation
        Perturbation of each condition; -1 for control.
    n_nodes
        Number of nodes.

    Returns
    -------
    Prices, shape ``(n_perturbations,)``, never below a floor that keeps noise out.
    """
    price = np.zeros(int(perturbation.max()) + 1)
    treated = perturbation >= 0
    occam = 0.5 * np.log1p(SHIFT_VARIANCE * np.asarray(n_cells, dtype=float))
    np.add.at(price, perturbation[treated], occam[treated])
    penalty: FloatArray = np.maximum(price + np.log(max(n_nodes / 2, 1.0)), MIN_TARGET_PENALTY)
    return penalty


def compute_sufficient_statistics(
    values: FloatArray,
    condition: IntArray,
    perturbation: IntArray,
    *,
    is_linear: bool = True,
) -> SufficientStatistics:
    """Summarise a screen for structure search.

    Parameters
    ----------
    values
        Node values of cells, shape ``(n_cells, n_nodes)``.
    condition
        Condition of each cell, shape ``(n_cells,)``, from 0.
    perturbation
        Perturbation of each condition, shape ``(n_conditions,)``, from 0; -1 for control.
    is_linear
        Linear mechanisms; otherwise additive splines.

    Returns
    -------
    The statistics.
    """
    basis = SplineBasis.fit(values, is_linear=is_linear)
    expanded = basis.expand(np.asarray(values, dtype=float))
    n_perturbations, n_nodes = int(perturbation.max()) + 1, values.shape[1]
    size = expanded.shape[1] + 1
    within = np.zeros((n_perturbations + 1, size, size))
    between = np.zeros_like(within)
    n_cells = np.zeros(n_perturbations + 1)
    order = np.argsort(condition, kind="stable")
    ends = np.cumsum(np.bincount(condition, minlength=len(perturbation)))
    for index, cells in enumerate(np.split(order, ends[:-1])):
        if not len(cells):
            continue
        # Index -1 is the last slot, which is the control's.
        owner = perturbation[index]
        block = expanded[cells]
        mean = np.append(block.mean(axis=0), 1.0)
        centred = block - mean[:-1]
        within[owner, :-1, :-1] += centred.T @ centred
        between[owner] += len(cells) * np.outer(mean, mean)
        n_cells[owner] += len(cells)
    return SufficientStatistics(
        within=np.ascontiguousarray(np.moveaxis(within, 0, -1)),
        between=np.ascontiguousarray(np.moveaxis(between, 0, -1)),
        n_cells=n_cells,
        target_penalty=compute_target_penalty(
            np.bincount(condition, minlength=len(perturbation)), perturbation, n_nodes
        ),
        n_nodes=n_nodes,
        basis=basis,
    )
