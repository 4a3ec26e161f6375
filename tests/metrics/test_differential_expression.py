import numpy as np
import pytest
from scipy.stats import false_discovery_control, spearmanr, ttest_ind

from scgim import metrics
from scgim.metrics import Moments


def moments(*groups):
    return Moments(
        np.array([cells.mean(axis=0) for cells in groups]),
        np.array([cells.var(axis=0, ddof=1) for cells in groups]),
        np.array([len(cells) for cells in groups]),
    )


def test_changed_genes_agree_with_welch_and_benjamini_hochberg_of_scipy():
    rng = np.random.default_rng(0)
    control = rng.normal(size=(50, 30))
    treated = rng.normal(size=(40, 30)) * 1.5 + np.r_[np.full(5, 1.5), np.zeros(25)]
    found = metrics.find_changed_genes(moments(treated), moments(control))
    expected = ttest_ind(treated, control, equal_var=False)
    np.testing.assert_allclose(found.statistic[0], expected.statistic)
    np.testing.assert_array_equal(
        found.is_changed[0], false_discovery_control(expected.pvalue) < 0.05
    )
    assert found.is_changed[0, :5].all()


def test_nothing_is_changed_in_one_cell_or_where_nothing_varies():
    one = Moments(np.array([[5.0]]), np.array([[np.nan]]), np.array([1]))
    control = Moments(np.array([[0.0]]), np.array([[1.0]]), np.array([10]))
    still = Moments(np.array([[0.0]]), np.array([[0.0]]), np.array([10]))
    for cells, other in ((one, control), (still, still)):
        found = metrics.find_changed_genes(cells, other)
        assert not found.is_changed.any()
        assert found.statistic == pytest.approx(0.0)


def test_overlap_compares_no_more_genes_than_changed():
    true = [[9.0, -8.0, 7.0, 0.1, 0.2]]
    is_changed = [[True, True, True, False, False]]
    predicted = [[1.0, 5.0, 0.0, 4.0, 3.0]]
    assert metrics.overlap_at_k(predicted, true, is_changed, k=50) == pytest.approx(1 / 3)
    assert metrics.overlap_at_k(predicted, true, is_changed, k=1) == pytest.approx(0.0)


def test_a_constant_prediction_overlaps_with_nothing():
    assert metrics.overlap_at_k([[0.0, 0.0]], [[2.0, 0.0]], [[True, False]]) == 0.0


def test_a_shift_of_zero_agrees_with_no_sign():
    agreement = metrics.sign_agreement([[0.0, 1.0, -1.0]], [[1.0, 1.0, 1.0]], [[True] * 3])
    assert agreement == pytest.approx(1 / 3)


def test_correlation_over_changed_genes_agrees_with_scipy():
    rng = np.random.default_rng(1)
    predicted, true = rng.normal(size=(2, 4, 25)).round(1)
    is_changed = rng.uniform(size=true.shape) < 0.6
    expected = [
        spearmanr(p[m], t[m]).statistic for p, t, m in zip(predicted, true, is_changed, strict=True)
    ]
    np.testing.assert_allclose(
        metrics.changed_gene_correlation(predicted, true, is_changed), expected
    )


def test_scores_are_nan_where_nothing_changed():
    arrays = [[1.0, 2.0]], [[1.0, 2.0]], [[False, False]]
    for score in (metrics.overlap_at_k, metrics.sign_agreement, metrics.changed_gene_correlation):
        assert np.isnan(score(*arrays))
