from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim.scm._sufficient_statistics import (
    SplineBasis,
    SufficientStatistics,
    compute_target_penalty,
)
from scgim.scm.structure._denoised_covariance import compute_denoised_covariance, control_deviation

if TYPE_CHECKING:
    from scgim.scm.structure._denoised_covariance import CountScreen

# A reliability below this is an estimation error: no cell then counts as less than 1/400 of one.
MIN_RELIABILITY = 0.05


def compute_count_statistics(
    screen: CountScreen,
    rng: np.random.Generator | None = None,
    *,
    ridge: float = 1.0,
    n_splits: int | None = None,
) -> SufficientStatistics:
    r"""Summarise counts for structure search, free of counting noise.

    Scatter within perturbations is that of the denoised covariance. What it takes to subtract the
    noise is certainty: an estimate of reliability :math:`\rho` (share of the variance that is not
    counting noise) is as sure as :math:`\rho^2` as many cells without noise would make it, so each
    cell counts :math:`\rho^2`, at the median over genes. Without that, a search over-connects.

    Parameters
    ----------
    screen
        The counts; one condition per perturbation.
    rng, n_splits
        Not used since version 0.2, as nothing is drawn any more.
    ridge
        Strength of the regularisation, see :meth:`DenoisedCovariance.regularised`.

    Returns
    -------
    Statistics of linear mechanisms, in control deviations of log expression.

    See Also
    --------
    compute_sufficient_statistics : The same for values measured without noise.
    """
    del rng, n_splits
    mean, deviation = control_deviation(screen)
    values = (screen.log_expression(screen.counts) - mean) / deviation
    covariance = compute_denoised_covariance(screen, deviation)
    reliability = float(np.clip(np.median(covariance.reliability), MIN_RELIABILITY, 1.0))
    n_groups, n_nodes = int(screen.perturbation.max()) + 2, values.shape[1]
    # Code -1, the control, goes to the last slot.
    group = np.where(screen.is_control, n_groups - 1, screen.perturbation)
    n_cells = np.bincount(group, minlength=n_groups).astype(np.float64) * reliability**2
    means = np.zeros((n_groups, n_nodes + 1))
    np.add.at(means[:, :-1], group, values)
    means[:, :-1] /= np.maximum(np.bincount(group, minlength=n_groups), 1)[:, None]
    means[:, -1] = 1.0
    within = np.zeros((n_nodes + 1, n_nodes + 1, n_groups))
    within[:-1, :-1] = covariance.regularised(ridge)[..., None] * n_cells
    return SufficientStatistics(
        within=within,
        between=np.einsum("gi,gj,g->ijg", means, means, n_cells),
        n_cells=n_cells,
        target_penalty=compute_target_penalty(n_cells[:-1], np.arange(n_groups - 1), n_nodes),
        n_nodes=n_nodes,
        basis=SplineBasis(np.zeros((0, n_nodes))),
    )
