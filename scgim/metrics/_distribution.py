"""How far predicted cells or mean shifts are from the true ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim.metrics._checks import (
    check_distance_range,
    check_finite,
    check_same_columns,
    check_same_shape,
    check_several_cells,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

ENTRIES_PER_CHUNK = 4_000_000
BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def energy_distance(x: ArrayLike, y: ArrayLike) -> float:
    r"""Compute the energy distance between two groups of cells.

    :math:`2\,E\|X - Y\| - E\|X - X'\| - E\|Y - Y'\|` over all pairs, a cell with itself included, so
    the result is never negative and 0 only for equal groups (Székely and Rizzo 2013). Distances are
    computed in chunks: memory does not grow with the number of pairs.

    Parameters
    ----------
    x
        Cells of one group, shape ``(n_cells, n_columns)``.
    y
        Cells of the other group, shape ``(m_cells, n_columns)``.

    Returns
    -------
    Energy distance, in the unit of the columns.

    See Also
    --------
    normalized_energy_distance : The same on a scale from replicate to no effect.

    Examples
    --------
    >>> energy_distance([[0.0]], [[3.0]])
    6.0
    """
    first, second = _as_cells(x=x, y=y)
    centre = first.mean(axis=0)  # distances of far-away groups lose digits otherwise
    first, second = first - centre, second - centre
    between = 2.0 * _mean_over_pairs(first, second, np.sqrt)
    within = _mean_over_pairs(first, first, np.sqrt) + _mean_over_pairs(second, second, np.sqrt)
    return max(between - within, 0.0)


def normalized_energy_distance(
    predicted: ArrayLike, truth: ArrayLike, *, replicate: ArrayLike, control: ArrayLike
) -> float:
    r"""Compute the energy distance on a scale where 0 is a replicate and 1 is no effect.

    :math:`(E(\hat x, x) - E(x', x)) / (E(x_0, x) - E(x', x))` with truth :math:`x`, replicate
    :math:`x'` and control :math:`x_0`. It is not clipped: worse than no effect is above 1.

    Parameters
    ----------
    predicted
        Predicted cells of a condition, shape ``(n_cells, n_columns)``.
    truth
        True cells of the condition.
    replicate
        Other true cells of the condition, as many as there are predicted ones.
    control
        Control cells, as many as there are predicted ones.

    Returns
    -------
    Normalised energy distance.
    """
    reference = energy_distance(replicate, truth)
    no_effect = energy_distance(control, truth)
    check_distance_range(reference, no_effect)
    return (energy_distance(predicted, truth) - reference) / (no_effect - reference)


def mmd(x: ArrayLike, y: ArrayLike, *, bandwidths: Sequence[float] | None = None) -> float:
    r"""Compute the squared maximum mean discrepancy under several Gaussian kernels.

    The mean over bandwidths :math:`b` of :math:`E k(X, X') + E k(Y, Y') - 2 E k(X, Y)` with
    :math:`k(x, y) = \exp(-\|x - y\|^2 / 2 b^2)` over all pairs, a cell with itself included (Gretton
    et al. 2012).

    Parameters
    ----------
    x
        Cells of one group, shape ``(n_cells, n_columns)``.
    y
        Cells of the other group, shape ``(m_cells, n_columns)``.
    bandwidths
        Kernel widths in the unit of the columns. By default 1/4, 1/2, 1, 2 and 4 times the root mean
        squared distance between the pooled cells.

    Returns
    -------
    Squared maximum mean discrepancy, between 0 and 2.
    """
    first, second = _as_cells(x=x, y=y)
    widths = _default_bandwidths(np.vstack([first, second])) if bandwidths is None else bandwidths

    def kernel(squared: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.zeros_like(squared)
        for width in widths:
            total += np.exp(squared / (-2.0 * width**2))
        return total / len(widths)

    within = _mean_over_pairs(first, first, kernel) + _mean_over_pairs(second, second, kernel)
    return max(within - 2.0 * _mean_over_pairs(first, second, kernel), 0.0)


def wasserstein_per_gene(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    r"""Compute the Wasserstein-1 distance of each column between two groups of cells.

    :math:`\int |F_x(t) - F_y(t)|\,dt` of the empirical distribution functions, exact for groups of any
    size.

    Parameters
    ----------
    x
        Cells of one group, shape ``(n_cells, n_columns)``.
    y
        Cells of the other group, shape ``(m_cells, n_columns)``.

    Returns
    -------
    Distance of each column in its unit, shape ``(n_columns,)``.

    Examples
    --------
    >>> wasserstein_per_gene([[0.0, 1.0], [2.0, 1.0]], [[1.0, 4.0]])
    array([1., 3.])
    """
    first, second = _as_cells(x=x, y=y)
    pooled = np.vstack([first, second])
    order = np.argsort(pooled, axis=0, kind="stable")
    step = np.repeat([1.0 / len(first), -1.0 / len(second)], [len(first), len(second)])
    difference = np.abs(np.cumsum(step[order], axis=0)[:-1])
    width = np.diff(np.take_along_axis(pooled, order, axis=0), axis=0)
    return np.asarray((difference * width).sum(axis=0))


def dispersion_bias(predicted: ArrayLike, true: ArrayLike) -> float:
    r"""Compute by which share a prediction is too wide (above 0) or too narrow (below 0).

    :math:`\sum_g \hat\sigma_g / \sum_g \sigma_g - 1` over columns, with the standard deviation over
    cells. A predictor of means only scores -1.

    Parameters
    ----------
    predicted
        Predicted cells, shape ``(n_cells, n_columns)``, at least two.
    true
        True cells, shape ``(m_cells, n_columns)``, at least two.

    Returns
    -------
    Signed bias; NaN where the truth does not vary.

    Examples
    --------
    >>> round(dispersion_bias([[0.0], [3.0]], [[0.0], [2.0]]), 3)
    0.5
    """
    first, second = _as_cells(predicted=predicted, true=true)
    check_several_cells(predicted=first, true=second)
    width = second.std(axis=0, ddof=1).sum()
    return float(first.std(axis=0, ddof=1).sum() / width - 1.0) if width > 0 else float("nan")


def covariance_error(predicted: ArrayLike, true: ArrayLike) -> float:
    r"""Compute the relative error of the covariance between columns.

    :math:`\|\hat C - C\|_F / \|C\|_F`: 0 is perfect, 1 is what a predictor without variation scores,
    and it has no upper bound. Distances between cells hardly see gene-gene structure; this does.

    Parameters
    ----------
    predicted
        Predicted cells, shape ``(n_cells, n_columns)``, at least two.
    true
        True cells, shape ``(m_cells, n_columns)``, at least two.

    Returns
    -------
    Relative error; NaN where the truth does not vary.

    Examples
    --------
    >>> covariance_error([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]])
    1.0
    """
    first, second = _as_cells(predicted=predicted, true=true)
    check_several_cells(predicted=first, true=second)
    estimate, truth = (np.atleast_2d(np.cov(cells, rowvar=False)) for cells in (first, second))
    size = np.linalg.norm(truth)
    return float(np.linalg.norm(estimate - truth) / size) if size > 0 else float("nan")


def largest_shifts(shift: ArrayLike, n_genes: int = 50) -> NDArray[np.bool_]:
    """Mark the genes that move most in each condition.

    Parameters
    ----------
    shift
        Mean shift, shape ``(n_conditions, n_genes)``.
    n_genes
        How many genes to mark per condition.

    Returns
    -------
    Mask of the same shape; all genes where there are no more than ``n_genes``.
    """
    size = np.abs(np.asarray(shift, dtype=np.float64))
    mask = np.zeros(size.shape, dtype=bool)
    top = np.argsort(-size, axis=-1, kind="stable")[..., :n_genes]
    np.put_along_axis(mask, top, values=True, axis=-1)
    return mask


def shift_r2(predicted: ArrayLike, true: ArrayLike, *, genes: ArrayLike | None = None) -> float:
    r"""Compute the share of a mean shift that a prediction explains, without centring.

    :math:`1 - \sum (\hat\Delta - \Delta)^2 / \sum \Delta^2`, pooled over conditions: 0 is what "no
    effect" scores, 1 is perfect. It is not clipped.

    Parameters
    ----------
    predicted
        Predicted mean shift from control, shape ``(n_conditions, n_genes)`` or ``(n_genes,)``.
    true
        True mean shift, same shape.
    genes
        Mask of the entries that count, same shape, for example from :func:`largest_shifts` of the
        true shift. By default all.

    Returns
    -------
    Uncentred R².

    Examples
    --------
    >>> shift_r2([1.0, 1.0], [2.0, 0.0])
    0.5
    """
    estimate, truth = np.asarray(predicted, dtype=float), np.asarray(true, dtype=float)
    mask = np.ones(truth.shape, dtype=bool) if genes is None else np.asarray(genes, dtype=bool)
    check_same_shape(predicted=estimate, true=truth, genes=mask)
    check_finite(predicted=estimate, true=truth)
    error = estimate[mask] - truth[mask]
    return float(1.0 - (error @ error) / (truth[mask] @ truth[mask]))


def _as_cells(**arrays: ArrayLike) -> list[NDArray[np.float64]]:
    cells = {name: np.asarray(array, dtype=np.float64) for name, array in arrays.items()}
    check_same_columns(**cells)
    check_finite(**cells)
    return list(cells.values())


def _mean_over_pairs(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> float:
    """Mean of a function of the squared distance over all pairs of rows."""
    n_rows = max(1, ENTRIES_PER_CHUNK // len(y))
    y_squared = (y**2).sum(axis=1)
    total = 0.0
    for start in range(0, len(x), n_rows):
        rows = x[start : start + n_rows]
        squared = (rows**2).sum(axis=1)[:, None] + y_squared - 2.0 * (rows @ y.T)
        total += float(function(np.maximum(squared, 0.0)).sum())
    return total / (len(x) * len(y))


def _default_bandwidths(cells: NDArray[np.float64]) -> list[float]:
    """Multiples of the root mean squared distance, which is √2 times the total deviation."""
    scale = float(np.sqrt(2.0 * cells.var(axis=0).sum())) or 1.0
    return [factor * scale for factor in BANDWIDTH_FACTORS]
