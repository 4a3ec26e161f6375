from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scgim.scm._dose_response import hill_gradient

if TYPE_CHECKING:
    from scgim._types import FloatArray
    from scgim.scm._named_node_screen import NamedNodeScreen
    from scgim.scm.generator._named_node_model import NamedNodeModel

# Keeps the variance finite of what no cell tells about.
MIN_INFORMATION = 1e-6


class ShiftPosterior(NamedTuple):
    r"""How well the shifts of seen perturbations are known.

    The sizes of a perturbation's targets are independent given its EC50 and slope, and linear in them
    to first order: :math:`a_j = \hat a_j + b_j^\top \delta + \varepsilon_j` with
    :math:`\delta = (\log_{10}\mathrm{EC}_{50}, \log n) - \text{estimate}`.

    Attributes
    ----------
    dose_response_covariance
        Covariance of log10 EC50 and log slope, shape ``(n_perturbations, 2, 2)``.
    size_slope
        :math:`b`, shape ``(n_perturbations, n_nodes, 2)``.
    size_variance
        Variance of :math:`\varepsilon`, shape ``(n_perturbations, n_nodes)``; 0 but for targets.
    """

    dose_response_covariance: FloatArray
    size_slope: FloatArray
    size_variance: FloatArray


def compute_shift_posterior(
    model: NamedNodeModel, screen: NamedNodeScreen, residual_variance: FloatArray
) -> ShiftPosterior:
    """Laplace approximation at the fitted sizes and dose responses, one perturbation at a time.

    Parameters
    ----------
    model
        Fitted model.
    screen
        The cells it was fitted to.
    residual_variance
        Variance of a node around its parents as it is measured, shape ``(n_nodes,)``.

    Returns
    -------
    The posterior. What other perturbations and features say of a dose response is its prior.
    """
    efficacy, is_target = model.efficacy, model.structure.is_moved
    n_perturbations, n_nodes = is_target.shape
    size = np.where(is_target, efficacy.rows[:, :1] * efficacy.sensitivity + efficacy.extra, 0.0)
    prior = [1 / np.diag(np.linalg.inv(gram)) for gram in efficacy.prior_covariances()[1:]]
    covariance = np.zeros((n_perturbations, 2, 2))
    slope = np.zeros((n_perturbations, n_nodes, 2))
    variance = np.zeros((n_perturbations, n_nodes))
    for row in range(n_perturbations):
        conditions = np.flatnonzero(screen.perturbation == row)
        rows = np.tile(efficacy.rows[row], (len(conditions), 1))
        response = efficacy.response(rows, screen.log10_dose[conditions])
        change = hill_gradient(screen.log10_dose[conditions], rows[:, 1], np.exp(rows[:, 2]))
        weight = screen.condition_sizes[conditions]
        targets = np.flatnonzero(is_target[row])
        precision = np.diag([1 / max(p[row], MIN_INFORMATION) for p in prior])
        for node in targets:
            scaled = weight / residual_variance[node]
            information = (scaled * response**2).sum() + MIN_INFORMATION
            cross = (scaled * response * size[row, node]) @ change
            precision += (scaled * size[row, node] ** 2 * change.T) @ change
            precision -= np.outer(cross, cross) / information
            slope[row, node] = -cross / information
            variance[row, node] = 1 / information
        covariance[row] = np.linalg.inv(precision)
    return ShiftPosterior(covariance, slope, variance)
