"""How well mean shifts are predicted, one score per condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.spatial.distance import cdist

from scgim.metrics._checks import check_finite, check_same_shape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ShiftDistance = Literal["l1", "l2", "cosine"]
_SCIPY_NAMES = {"l1": "cityblock", "l2": "euclidean", "cosine": "cosine"}


def effect_weights(statistic: ArrayLike) -> NDArray[np.float64]:
    r"""Weigh genes by how clearly they change.

    Per condition, :math:`|t|` is scaled to 0 … 1 over genes, squared, and divided by its sum (Mejia et
    al. 2025): errors count where there is an effect, so predicting none is not rewarded.

    Parameters
    ----------
    statistic
        Test statistic of each gene, shape ``(n_conditions, n_genes)``.

    Returns
    -------
    Weights of the same shape that sum to 1 per condition; equal ones where all genes are alike.

    Examples
    --------
    >>> effect_weights([[0.0, 1.0, -3.0]]).round(2)
    array([[0. , 0.1, 0.9]])
    """
    size = np.abs(np.asarray(statistic, dtype=float))
    check_finite(statistic=size)
    low, high = size.min(axis=-1, keepdims=True), size.max(axis=-1, keepdims=True)
    scaled = ((size - low) / np.where(high > low, high - low, 1.0)) ** 2
    scaled = np.where(high > low, scaled, 1.0)
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True))


def weighted_mse(predicted: ArrayLike, true: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Compute the weighted mean squared error of each condition.

    Parameters
    ----------
    predicted
        Predicted mean expression or mean shift, shape ``(n_conditions, n_genes)``.
    true
        True one, same shape.
    weights
        Weight of each gene, same shape, for example from :func:`effect_weights`.

    Returns
    -------
    Error of each condition in squared units of expression, shape ``(n_conditions,)``.

    Examples
    --------
    >>> weighted_mse([[1.0, 0.0]], [[3.0, 1.0]], [[3.0, 1.0]])
    array([3.25])
    """
    estimate, truth, weight = as_condition_tables(predicted=predicted, true=true, weights=weights)
    return np.asarray((weight * (estimate - truth) ** 2).sum(-1) / weight.sum(-1))


def weighted_r2(predicted: ArrayLike, true: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    r"""Compute the share of each mean shift that a prediction explains, weighted over genes.

    :math:`1 - \sum_g w_g (\hat\Delta_g - \Delta_g)^2 / \sum_g w_g \Delta_g^2`, not centred over genes:
    what scores 0 is the reference that the shift is taken from. With a shift from the control, "no
    effect" scores 0; with a shift from the mean of all perturbed cells, "the same for all" does. It is
    not clipped.

    Parameters
    ----------
    predicted
        Predicted mean shift from a reference, shape ``(n_conditions, n_genes)``.
    true
        True mean shift from the same reference, same shape.
    weights
        Weight of each gene, same shape.

    Returns
    -------
    Weighted R² of each condition, shape ``(n_conditions,)``; NaN where the true shift is 0.

    See Also
    --------
    shift_r2 : The same pooled over conditions, without weights.

    Examples
    --------
    >>> weighted_r2([[1.0, 1.0]], [[2.0, 1.0]], [[1.0, 0.0]])
    array([0.75])
    """
    estimate, truth, weight = as_condition_tables(predicted=predicted, true=true, weights=weights)
    error = (weight * (estimate - truth) ** 2).sum(-1)
    return 1.0 - divide(error, (weight * truth**2).sum(-1))


def shift_correlation(predicted: ArrayLike, true: ArrayLike) -> NDArray[np.float64]:
    """Compute Pearson's correlation over genes of each predicted shift with the true one.

    Take both from the centroid of all perturbed cells, not from the control: what all perturbations
    share would otherwise count as success for each of them (Viñas Torné et al. 2025).

    Parameters
    ----------
    predicted
        Predicted mean shift, shape ``(n_conditions, n_genes)``.
    true
        True mean shift from the same reference, same shape.

    Returns
    -------
    Correlation of each condition, shape ``(n_conditions,)``; NaN where one of both is constant.

    Examples
    --------
    >>> shift_correlation([[1.0, 2.0, 3.0]], [[3.0, 2.0, 1.0]]).round(6)
    array([-1.])
    """
    estimate, truth = as_condition_tables(predicted=predicted, true=true)
    estimate = estimate - estimate.mean(-1, keepdims=True)
    truth = truth - truth.mean(-1, keepdims=True)
    scale = np.sqrt((estimate**2).sum(-1) * (truth**2).sum(-1))
    return divide((estimate * truth).sum(-1), scale)


def rank_score(
    predicted: ArrayLike, true: ArrayLike, metric: ShiftDistance = "cosine"
) -> NDArray[np.float64]:
    r"""Compute the share of other predictions that are nearer to a condition than its own.

    The rank metric of PerturBench (Wu et al. 2024): for condition :math:`i`, the share of
    :math:`j \neq i` with :math:`d(\hat\Delta_j, \Delta_i) < d(\hat\Delta_i, \Delta_i)`. A tie counts
    half, so a predictor that says the same for all conditions scores .5, as chance does; 0 is best.

    Parameters
    ----------
    predicted
        Predicted mean shift, shape ``(n_conditions, n_genes)``.
    true
        True mean shift from the same control cells, same shape.
    metric
        Distance between shifts: ``"l1"``, ``"l2"`` or ``"cosine"``.

    Returns
    -------
    Rank score of each condition, shape ``(n_conditions,)``; NaN for a single condition.

    See Also
    --------
    discrimination_score : Ranks true conditions around a prediction, not the other way round.
    """
    estimate, truth = as_condition_tables(predicted=predicted, true=true)
    return _share_nearer(_shift_distances(truth, estimate, metric))


def discrimination_score(
    predicted: ArrayLike, true: ArrayLike, metric: ShiftDistance = "l1"
) -> NDArray[np.float64]:
    r"""Compute the share of other conditions that are further from a prediction than its own.

    The perturbation discrimination score: for condition :math:`i`, one minus the share of :math:`j
    \neq i` with :math:`d(\hat\Delta_i, \Delta_j) < d(\hat\Delta_i, \Delta_i)`. 1 is best, .5 is chance;
    a tie counts half. It depends on distance and scale, so look at all three. Shifts of both sides have
    to be taken from the same true control cells: with a predictor's own it can be manipulated.

    Parameters
    ----------
    predicted
        Predicted mean shift, shape ``(n_conditions, n_genes)``.
    true
        True mean shift from the same control cells, same shape.
    metric
        Distance between shifts: ``"l1"``, ``"l2"`` or ``"cosine"``.

    Returns
    -------
    Score of each condition, shape ``(n_conditions,)``; NaN for a single condition.

    See Also
    --------
    rank_score : Ranks predictions around a true condition, not the other way round.
    """
    estimate, truth = as_condition_tables(predicted=predicted, true=true)
    return 1.0 - _share_nearer(_shift_distances(estimate, truth, metric))


def as_condition_tables(**arrays: ArrayLike) -> list[NDArray[np.float64]]:
    """Make conditions x genes of arrays that must agree in shape and be finite.

    Parameters
    ----------
    **arrays
        Arrays by the name of the argument that they came from; one row alone is one condition.

    Returns
    -------
    Arrays of shape ``(n_conditions, n_genes)``.
    """
    tables = {name: np.atleast_2d(np.asarray(array, dtype=float)) for name, array in arrays.items()}
    check_same_shape(**tables)
    check_finite(**tables)
    return list(tables.values())


def divide(above: NDArray[np.generic], below: NDArray[np.generic]) -> NDArray[np.float64]:
    """Divide, NaN where there is nothing to divide by.

    Parameters
    ----------
    above
        Numerators.
    below
        Denominators of the same shape, not negative.

    Returns
    -------
    Quotients.
    """
    whole = np.asarray(below, dtype=float)
    quotient = np.full(whole.shape, np.nan)
    np.divide(above, whole, out=quotient, where=whole > 0)
    return quotient


def _shift_distances(
    first: NDArray[np.float64], second: NDArray[np.float64], metric: ShiftDistance
) -> NDArray[np.float64]:
    """Distances between rows; a shift of length 0 has no direction and cosine distance 1 to all."""
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = cdist(first, second, _SCIPY_NAMES[metric])
    return np.nan_to_num(np.asarray(distance, dtype=np.float64), nan=1.0)


def _share_nearer(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the other columns that are nearer to a row than its own column; ties count half."""
    n = len(distance)
    if n == 1:
        return np.full(1, np.nan)
    own = np.diagonal(distance)[:, None]
    is_tied = np.isclose(distance, own, rtol=1e-9, atol=1e-12)
    nearer = ((distance < own) & ~is_tied).sum(axis=1) + 0.5 * (is_tied.sum(axis=1) - 1)
    return np.asarray(nearer / (n - 1))
