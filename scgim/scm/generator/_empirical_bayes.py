from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scgim.scm._dose_response import hill_response_of_arrays

if TYPE_CHECKING:
    from scgim._types import FloatArray, IntArray

# Grid of log10 EC50: the step is that of the prototype study (201 points over five decades), far
# below what cells can resolve, and the margin leaves room for an EC50 outside all doses.
GRID_STEP = 0.025
GRID_MARGIN = 2.0
# Conditions handled at once, which bounds memory.
BLOCK = 64


@dataclass(frozen=True)
class ConditionStatistics:
    r"""What the cells of each condition say about its intervention.

    The mean posterior residual :math:`\bar r_c = \overline{\mu - \mu A - \beta}` of a condition is a
    noisy observation of its shift, with variance ``1 / n_cells`` per node.

    Attributes
    ----------
    perturbation
        Row of each condition's perturbation, shape ``(n_conditions,)``; conditions with one perturbation.
    log10_dose
        Dose, log10, shape ``(n_conditions,)``; infinity where there is no dose.
    n_cells
        Cells, shape ``(n_conditions,)``.
    residual
        Mean residual, shape ``(n_conditions, n_nodes)``.
    """

    perturbation: IntArray
    log10_dose: FloatArray
    n_cells: FloatArray
    residual: FloatArray


@dataclass(frozen=True)
class RandomEffects:
    """Gaussian belief about the dense effects of perturbations, each independent of the others.

    It is a prior, usually what features predict, and then the posterior given the cells.

    Attributes
    ----------
    shift
        Mean shifts of the curves, shape ``(n_perturbations, n_curves * n_nodes)``, in noise standard
        deviations.
    shift_variance
        Variance of each number in a row of ``shift`` given EC50, shape ``(n_perturbations,)``.
    log10_ec50
        Mean log10 EC50, same shape.
    log10_ec50_variance
        Its variance, same shape.
    """

    shift: FloatArray
    shift_variance: FloatArray
    log10_ec50: FloatArray
    log10_ec50_variance: FloatArray


def estimate_hill_effects(
    statistics: ConditionStatistics, prior: RandomEffects, hill: float
) -> RandomEffects:
    r"""Estimate shift and EC50 of each seen perturbation by empirical Bayes.

    For each perturbation the posterior of :math:`m = \log_{10}\mathrm{EC50}` is taken on a grid, the
    shift given :math:`m` in closed form:

    .. math::
        \tfrac12 \sum_c n_c |\bar r_c - h_c(m) a|^2 + \frac{|a - a_0|^2}{2\omega}
        + \frac{(m - m_0)^2}{2v}.

    Parameters
    ----------
    statistics
        What the cells say.
    prior
        What is believed without them.
    hill
        Slope of all curves.

    Returns
    -------
    The posterior.
    """
    grid = _ec50_grid(statistics, prior)
    response = hill_response_of_arrays(statistics.log10_dose[:, None], grid, hill)
    n_rows, width = prior.shift.shape

    def sum_by_row(values: FloatArray) -> FloatArray:
        total = np.zeros((n_rows, *values.shape[1:]))
        np.add.at(total, statistics.perturbation, values)
        return total

    weighted = statistics.n_cells[:, None] * response
    precision = sum_by_row(weighted * response) + 1 / prior.shift_variance[:, None]
    # (n_rows, n_grid, n_nodes): the right-hand side of the normal equations at each grid point.
    projected = np.zeros((n_rows, len(grid), width))
    for block in np.array_split(np.arange(len(response)), len(response) // BLOCK + 1):
        terms = weighted[block, :, None] * statistics.residual[block, None, :]
        np.add.at(projected, statistics.perturbation[block], terms)
    projected += prior.shift[:, None, :] / prior.shift_variance[:, None, None]
    shift_at = projected / precision[..., None]
    # Completing the square: the data enter the cost only through the explained part, plus the
    # grid-independent sum of squares. The shift is maximised over, as in the prototype study.
    cost = -0.5 * (projected * shift_at).sum(-1)
    cost += 0.5 * (grid - prior.log10_ec50[:, None]) ** 2 / prior.log10_ec50_variance[:, None]
    weight = np.exp(cost.min(1, keepdims=True) - cost)
    weight /= weight.sum(1, keepdims=True)
    log10_ec50 = weight @ grid
    return RandomEffects(
        shift=np.array((weight[:, None, :] @ shift_at)[:, 0], dtype=np.float64),
        shift_variance=(weight / precision).sum(1),
        log10_ec50=log10_ec50,
        log10_ec50_variance=(weight * (grid - log10_ec50[:, None]) ** 2).sum(1),
    )


def _ec50_grid(statistics: ConditionStatistics, prior: RandomEffects) -> FloatArray:
    """Values of log10 EC50 from two decades below all doses and priors to two above."""
    finite = statistics.log10_dose[np.isfinite(statistics.log10_dose)]
    known = np.concatenate([finite, prior.log10_ec50])
    low, high = known.min() - GRID_MARGIN, known.max() + GRID_MARGIN
    return np.linspace(low, high, round((high - low) / GRID_STEP) + 1)


def estimate_free_effects(
    statistics: ConditionStatistics, response: FloatArray, prior: RandomEffects
) -> RandomEffects:
    r"""Estimate the shifts of fixed response curves by empirical Bayes, in closed form.

    Parameters
    ----------
    statistics
        What the cells say.
    response
        Value of each curve in each condition, shape ``(n_conditions, n_curves)``.
    prior
        What is believed without them; its EC50 is returned as it is.

    Returns
    -------
    The posterior.
    """
    n_rows, width = prior.shift.shape
    n_curves = response.shape[1]
    n_nodes = width // n_curves
    gram = np.zeros((n_rows, n_curves, n_curves))
    weighted = statistics.n_cells[:, None] * response
    np.add.at(gram, statistics.perturbation, weighted[:, :, None] * response[:, None, :])
    gram += np.eye(n_curves) / prior.shift_variance[:, None, None]
    right = np.zeros((n_rows, n_curves, n_nodes))
    np.add.at(
        right, statistics.perturbation, weighted[:, :, None] * statistics.residual[:, None, :]
    )
    right += prior.shift.reshape(right.shape) / prior.shift_variance[:, None, None]
    covariance = np.linalg.inv(gram)
    return RandomEffects(
        shift=np.asarray(covariance @ right, dtype=np.float64).reshape(n_rows, width),
        shift_variance=np.trace(covariance, axis1=1, axis2=2) / n_curves,
        log10_ec50=prior.log10_ec50,
        log10_ec50_variance=prior.log10_ec50_variance,
    )
