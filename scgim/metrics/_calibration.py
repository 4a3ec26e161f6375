"""How well reported numbers and intervals agree with the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import spearmanr

from scgim.metrics._checks import check_finite, check_same_shape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class RiskCoverage(NamedTuple):
    """Mean error over the predictions that one keeps, from the surest to all.

    Attributes
    ----------
    coverage
        Share of predictions that is kept, ascending, shape ``(n,)``.
    risk
        Mean error of those, same shape.
    area
        Mean of ``risk`` over coverage: lower is better, and the mean of all errors is what an
        uncertainty without information scores.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    area: float


def interval_coverage(
    lower: ArrayLike, upper: ArrayLike, true: ArrayLike, *, where: ArrayLike | None = None
) -> float:
    """Compute the share of true values that lie inside their interval.

    Parameters
    ----------
    lower
        Lower ends.
    upper
        Upper ends, same shape.
    true
        True values, same shape.
    where
        Mask of the entries that count, same shape. By default all.

    Returns
    -------
    Coverage between 0 and 1, ends included.

    Examples
    --------
    >>> interval_coverage([0.0, 0.0], [1.0, 1.0], [0.5, 2.0])
    0.5
    """
    low, high, truth = (np.asarray(array, dtype=float) for array in (lower, upper, true))
    mask = np.ones(truth.shape, dtype=bool) if where is None else np.asarray(where, dtype=bool)
    check_same_shape(lower=low, upper=high, true=truth, where=mask)
    check_finite(lower=low, upper=high, true=truth)
    is_inside = (low <= truth) & (truth <= high)
    return float(is_inside[mask].mean())


def rank_correlation(estimated: ArrayLike, true: ArrayLike) -> float:
    """Compute Spearman's rank correlation, for example of EC50 with the truth.

    Parameters
    ----------
    estimated
        Estimated values, shape ``(n,)``.
    true
        True values, same shape.

    Returns
    -------
    Correlation of the ranks, between -1 and 1; NaN where one of both is constant and has no ranks.
    """
    estimate, truth = np.asarray(estimated, dtype=float), np.asarray(true, dtype=float)
    check_same_shape(estimated=estimate, true=truth)
    check_finite(estimated=estimate, true=truth)
    if np.ptp(estimate) == 0 or np.ptp(truth) == 0:
        return float("nan")
    return float(spearmanr(estimate, truth).statistic)


def risk_coverage(error: ArrayLike, uncertainty: ArrayLike) -> RiskCoverage:
    """Compute how the mean error falls when the least certain predictions are left out.

    Parameters
    ----------
    error
        Error of each prediction, shape ``(n,)``.
    uncertainty
        Stated uncertainty, same shape. Tied predictions share the mean of their errors.

    Returns
    -------
    The curve and its area.

    Examples
    --------
    >>> risk_coverage([1.0, 3.0], [0.1, 0.9]).risk
    array([1., 2.])
    """
    loss, doubt = np.asarray(error, dtype=float), np.asarray(uncertainty, dtype=float)
    check_same_shape(error=loss, uncertainty=doubt)
    check_finite(error=loss, uncertainty=doubt)
    _, group = np.unique(doubt, return_inverse=True)
    shared = (np.bincount(group, loss) / np.bincount(group))[group]
    n_kept = np.arange(1, len(loss) + 1)
    risk = np.cumsum(shared[np.argsort(doubt, kind="stable")]) / n_kept
    return RiskCoverage(n_kept / len(loss), risk, float(risk.mean()))
