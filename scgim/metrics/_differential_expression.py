"""Which genes change, and whether a prediction finds the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import false_discovery_control, rankdata, ttest_ind_from_stats

from scgim.metrics._shift_scores import as_condition_tables, divide

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Moments(NamedTuple):
    """Mean, variance and number of the cells of conditions.

    Attributes
    ----------
    mean
        Mean expression, shape ``(n_conditions, n_genes)``.
    variance
        Variance over cells with ``n - 1`` below, same shape; NaN for one cell.
    n_cells
        Number of cells, shape ``(n_conditions,)``.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    n_cells: NDArray[np.int64]


class ChangedGenes(NamedTuple):
    """Outcome of a test of each gene in each condition.

    Attributes
    ----------
    statistic
        Welch's t, shape ``(n_conditions, n_genes)``; 0 for genes that do not vary.
    is_changed
        Whether the gene changed at the false discovery rate of the condition, same shape.
    """

    statistic: NDArray[np.float64]
    is_changed: NDArray[np.bool_]


def find_changed_genes(cells: Moments, control: Moments, *, level: float = 0.05) -> ChangedGenes:
    """Test which genes differ from the control, by Welch's t and Benjamini-Hochberg.

    Parameters
    ----------
    cells
        Cells of each condition.
    control
        Control cells that each condition is compared with, of the same shape.
    level
        False discovery rate within a condition.

    Returns
    -------
    Statistic and decision of each gene; nothing is changed where there are fewer than two cells.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        test = ttest_ind_from_stats(
            cells.mean,
            np.sqrt(cells.variance),
            np.asarray(cells.n_cells, dtype=float)[:, None],
            control.mean,
            np.sqrt(control.variance),
            np.asarray(control.n_cells, dtype=float)[:, None],
            equal_var=False,
        )
    is_tested = np.isfinite(test.statistic) & np.isfinite(test.pvalue)
    statistic = np.where(is_tested, test.statistic, 0.0)
    adjusted = false_discovery_control(np.where(is_tested, test.pvalue, 1.0), axis=-1)
    return ChangedGenes(statistic, np.asarray(adjusted < level))


def overlap_at_k(
    predicted: ArrayLike, true: ArrayLike, is_changed: ArrayLike, k: int = 50
) -> NDArray[np.float64]:
    """Compute the share of the most changed genes that are also the most changed in a prediction.

    Parameters
    ----------
    predicted
        Statistic of the prediction by whose size genes rank, shape ``(n_conditions, n_genes)``.
    true
        Statistic of the truth, same shape.
    is_changed
        Whether a gene truly changed, same shape.
    k
        How many genes of each side to compare; fewer where fewer truly changed.

    Returns
    -------
    Overlap of each condition, shape ``(n_conditions,)``; NaN where nothing truly changed. Ties in the
    prediction are broken in the order of genes against it: a constant prediction has no order.

    Examples
    --------
    >>> overlap_at_k([[3.0, 2.0, 1.0]], [[-3.0, 0.1, 2.0]], [[True, False, True]])
    array([0.5])
    """
    estimate, truth, mask = as_condition_tables(
        predicted=predicted, true=true, is_changed=is_changed
    )
    n_compared = np.minimum(mask.sum(-1), k)
    true_rank = _rank_from_top(np.where(mask > 0, np.abs(truth), -1.0))
    is_top = true_rank <= n_compared[:, None]
    predicted_rank = rankdata(-np.abs(estimate), method="max", axis=-1)
    hits = (is_top & (predicted_rank <= n_compared[:, None])).sum(-1)
    return divide(hits, n_compared)


def sign_agreement(
    predicted: ArrayLike, true: ArrayLike, is_changed: ArrayLike
) -> NDArray[np.float64]:
    """Compute the share of changed genes that a prediction moves in the true direction.

    Parameters
    ----------
    predicted
        Predicted mean shift, shape ``(n_conditions, n_genes)``.
    true
        True mean shift, same shape.
    is_changed
        Whether a gene truly changed, same shape.

    Returns
    -------
    Agreement of each condition, shape ``(n_conditions,)``, chance .5; a predicted shift of 0 agrees with
    nothing. NaN where nothing truly changed.

    Examples
    --------
    >>> sign_agreement([[0.1, -1.0, 0.0]], [[2.0, 2.0, 2.0]], [[True, True, False]])
    array([0.5])
    """
    estimate, truth, mask = as_condition_tables(
        predicted=predicted, true=true, is_changed=is_changed
    )
    agrees = (np.sign(estimate) == np.sign(truth)) & (mask > 0) & (truth != 0)
    return divide(agrees.sum(-1), mask.sum(-1))


def changed_gene_correlation(
    predicted: ArrayLike, true: ArrayLike, is_changed: ArrayLike
) -> NDArray[np.float64]:
    """Compute Spearman's correlation of shifts over the genes that truly changed.

    Parameters
    ----------
    predicted
        Predicted mean shift, a log fold change of log-normalised data, ``(n_conditions, n_genes)``.
    true
        True mean shift, same shape.
    is_changed
        Whether a gene truly changed, same shape.

    Returns
    -------
    Correlation of each condition, shape ``(n_conditions,)``; NaN with fewer than two changed genes, and
    where one of both is constant over them.
    """
    estimate, truth, mask = as_condition_tables(
        predicted=predicted, true=true, is_changed=is_changed
    )
    is_in = mask > 0
    first, second = (_centred_ranks(values, is_in) for values in (estimate, truth))
    scale = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    product = (first * second).sum(-1)
    return divide(product, scale)


def _rank_from_top(size: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rankdata(-size, method="ordinal", axis=-1), dtype=np.float64)


def _centred_ranks(values: NDArray[np.float64], is_in: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average ranks among the chosen entries of each row, centred; 0 elsewhere."""
    ranks = rankdata(np.where(is_in, values, np.inf), method="average", axis=-1)
    mean = (is_in.sum(-1, keepdims=True) + 1) / 2.0
    return np.where(is_in, ranks - mean, 0.0)
