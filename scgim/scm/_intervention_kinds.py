from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from scgim.scm._sufficient_statistics import MIN_TARGET_PENALTY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scgim._types import FloatArray
    from scgim.scm._sufficient_statistics import SufficientStatistics

InterventionKindName = Literal["shift", "hard", "scale", "auto", "any"]

# Keeps the logarithm of a variance finite where all cells agree.
MIN_VARIANCE = 1e-12


class GroupResiduals(NamedTuple):
    """What a regression on the parents leaves of nodes, per family and perturbation.

    Attributes
    ----------
    within
        Scatter of the residual within conditions, shape ``(n_families, n_perturbations + 1)``.
    between
        Scatter of the condition means of the residual around 0, same shape.
    own
        Scatter of the node itself within conditions, same shape.
    n_cells
        Cells, shape ``(n_perturbations + 1,)``.
    variance
        Variance of the exogenous noise, shape ``(n_families, 1)``.
    """

    within: FloatArray
    between: FloatArray
    own: FloatArray
    n_cells: FloatArray
    variance: FloatArray


@dataclass(frozen=True)
class InterventionKind:
    r"""What interventions of one kind may do to the mechanism of a target.

    A target :math:`z_j = f_j(z) + \varepsilon_j` becomes
    :math:`(1 - c) f_j(z) + \delta + \sigma\varepsilon_j`; a kind says which of the three are free. To
    add a kind, make one of these and name it in ``kind`` of
    :class:`SearchSettings`; the score, the fit and the sampling ask nothing else of it.

    Attributes
    ----------
    name
        What results call it.
    moves_mean
        Whether the mean is free in every condition (:math:`\delta`).
    rescales_noise
        Whether the noise has a scale of its own (:math:`\sigma`).
    cuts_parents
        Whether the edges into the target are cut (:math:`c = 1`); only with a free mean.

    Examples
    --------
    A shift that also changes the noise, searched for beside the plain shift:

    >>> noisy = InterventionKind("noisy shift", moves_mean=True, rescales_noise=True)
    >>> settings = scgim.scm.SearchSettings(kind=(SHIFT, noisy))
    """

    name: str
    moves_mean: bool
    rescales_noise: bool = False
    cuts_parents: bool = False

    def __post_init__(self) -> None:
        """Check that the kind can be told apart."""
        assert self.moves_mean or not self.cuts_parents, "a node without parents needs a mean"

    def scatter(self, residuals: GroupResiduals) -> FloatArray:
        """Scatter of the noise under this kind.

        Parameters
        ----------
        residuals
            What the regression leaves.

        Returns
        -------
        Scatter, shape ``(n_families, n_perturbations + 1)``.
        """
        if self.cuts_parents:
            return residuals.own
        return residuals.within if self.moves_mean else residuals.within + residuals.between

    def cost(self, residuals: GroupResiduals) -> FloatArray:
        """Negative log-likelihood of the cells of each perturbation under this kind, in nats.

        Parameters
        ----------
        residuals
            What the regression leaves.

        Returns
        -------
        Costs without the price of the intervention, shape ``(n_families, n_perturbations + 1)``.
        """
        scatter, n_cells = self.scatter(residuals), residuals.n_cells
        if not self.rescales_noise:
            fit: FloatArray = n_cells * np.log(residuals.variance) + scatter / residuals.variance
            return 0.5 * fit
        own: FloatArray = 0.5 * n_cells * (np.log(_variance(scatter, n_cells)) + 1)
        return own

    def weights(self, residuals: GroupResiduals) -> tuple[FloatArray, FloatArray]:
        """How much cells of each perturbation count in the regression on the parents.

        Parameters
        ----------
        residuals
            What the regression before this one left.

        Returns
        -------
        Weights of the scatter within and between conditions, each of shape ``(n_families,
        n_perturbations + 1)``.
        """
        scatter = self.scatter(residuals)
        weight = np.ones_like(scatter)
        if self.cuts_parents:
            weight = np.zeros_like(scatter)
        elif self.rescales_noise:
            weight = residuals.variance / _variance(scatter, residuals.n_cells)
        return weight, np.zeros_like(weight) if self.moves_mean else weight

    def price(self, statistics: SufficientStatistics) -> FloatArray:
        """Price in nats of calling a node a target of this kind.

        Parameters
        ----------
        statistics
            Summary of the screen.

        Returns
        -------
        Price per perturbation, shape ``(n_perturbations,)``: that of free means
        (:func:`compute_target_penalty`), and half the log of the number of cells for a free scale.
        """
        sparsity = np.log(max(statistics.n_nodes / 2, 1.0))
        price = np.full(statistics.n_perturbations, sparsity)
        if self.moves_mean:
            price = statistics.target_penalty
        if self.rescales_noise:
            price = price + 0.5 * np.log(np.maximum(statistics.n_cells[:-1], 1.0))
        floored: FloatArray = np.maximum(price, MIN_TARGET_PENALTY)
        return floored


NONE = InterventionKind("none", moves_mean=False)
SHIFT = InterventionKind("shift", moves_mean=True)
HARD = InterventionKind("hard", moves_mean=True, rescales_noise=True, cuts_parents=True)
SCALE = InterventionKind("scale", moves_mean=False, rescales_noise=True)

KINDS: Mapping[InterventionKindName, tuple[InterventionKind, ...]] = MappingProxyType(
    {
        "shift": (SHIFT,),
        "hard": (HARD,),
        "scale": (SCALE,),
        "auto": (SHIFT, HARD),
        "any": (SHIFT, HARD, SCALE),
    }
)


def resolve_kinds(
    kind: InterventionKindName | tuple[InterventionKind, ...],
) -> tuple[InterventionKind, ...]:
    """Look up the kinds that a name stands for.

    Parameters
    ----------
    kind
        A name, or the kinds themselves.

    Returns
    -------
    The kinds to choose from.
    """
    return KINDS[kind] if isinstance(kind, str) else kind


def _variance(scatter: FloatArray, n_cells: FloatArray) -> FloatArray:
    variance: FloatArray = np.maximum(scatter / np.maximum(n_cells, 1.0), MIN_VARIANCE)
    return variance
