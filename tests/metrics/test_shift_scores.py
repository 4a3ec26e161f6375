import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import mean_squared_error, r2_score

from scgim import metrics


@pytest.fixture
def shifts():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(6, 40))
    return true + 0.5 * rng.normal(size=true.shape), true, rng.uniform(size=true.shape)


def test_weights_are_squares_of_the_scaled_statistic():
    weights = metrics.effect_weights([[1.0, -2.0, 3.0]])
    np.testing.assert_allclose(weights, [[0.0, 0.2, 0.8]])


def test_weights_are_equal_where_all_genes_are_alike():
    np.testing.assert_allclose(metrics.effect_weights([[2.0, -2.0]]), [[0.5, 0.5]])


def test_weighted_mse_agrees_with_scikit_learn(shifts):
    predicted, true, weights = shifts
    expected = [
        mean_squared_error(t, p, sample_weight=w)
        for p, t, w in zip(predicted, true, weights, strict=True)
    ]
    np.testing.assert_allclose(metrics.weighted_mse(predicted, true, weights), expected)


def test_weighted_r2_agrees_with_scikit_learn_where_the_weighted_mean_is_zero(shifts):
    predicted, true, weights = shifts
    true = true - np.average(true, axis=1, weights=weights)[:, None]
    expected = [
        r2_score(t, p, sample_weight=w) for p, t, w in zip(predicted, true, weights, strict=True)
    ]
    np.testing.assert_allclose(metrics.weighted_r2(predicted, true, weights), expected)


def test_weighted_r2_of_no_effect_is_zero_and_of_the_opposite_is_minus_three():
    true, equal = np.array([[1.0, 2.0]]), np.ones((1, 2))
    assert metrics.weighted_r2(0 * true, true, equal) == pytest.approx(0.0)
    assert metrics.weighted_r2(-true, true, equal) == pytest.approx(-3.0)


def test_weighted_r2_is_nan_where_there_is_no_shift():
    assert np.isnan(metrics.weighted_r2([[1.0]], [[0.0]], [[1.0]]))


def test_correlation_agrees_with_scipy(shifts):
    predicted, true, _ = shifts
    expected = [pearsonr(p, t).statistic for p, t in zip(predicted, true, strict=True)]
    np.testing.assert_allclose(metrics.shift_correlation(predicted, true), expected)


def test_correlation_with_a_constant_is_nan():
    assert np.isnan(metrics.shift_correlation([[1.0, 1.0]], [[1.0, 2.0]]))


def test_rank_counts_the_other_predictions_that_are_nearer():
    true, predicted = [[0.0], [10.0], [20.0]], [[9.0], [1.0], [20.0]]
    # condition 0: 1 of 2 others nearer; condition 1: prediction 0 nearer (1 against 9), 20 is not
    np.testing.assert_allclose(metrics.rank_score(predicted, true, "l2"), [0.5, 0.5, 0.0])


def test_discrimination_counts_the_other_conditions_that_are_further():
    true, predicted = [[0.0], [10.0], [20.0]], [[19.0], [1.0], [20.0]]
    # prediction 0 is next to 20, then 10, then its own; prediction 1 is nearest to 0
    np.testing.assert_allclose(metrics.discrimination_score(predicted, true, "l1"), [0.0, 0.5, 1.0])


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_a_collapsed_predictor_scores_chance(metric, shifts):
    _, true, _ = shifts
    collapsed = np.tile(true.mean(axis=0), (len(true), 1))
    np.testing.assert_allclose(metrics.rank_score(collapsed, true, metric), 0.5)
    assert metrics.discrimination_score(collapsed, true, metric).mean() == pytest.approx(0.5)


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_no_effect_scores_chance_and_the_truth_is_perfect(metric, shifts):
    _, true, _ = shifts
    assert metrics.discrimination_score(0 * true, true, metric).mean() == pytest.approx(0.5)
    np.testing.assert_allclose(metrics.discrimination_score(true, true, metric), 1.0)
    np.testing.assert_allclose(metrics.rank_score(true, true, metric), 0.0)


def test_cosine_does_not_see_the_scale_and_l2_does(shifts):
    _, true, _ = shifts
    small = 0.01 * true
    assert metrics.discrimination_score(small, true, "cosine").mean() == 1.0
    assert metrics.discrimination_score(small, true, "l2").mean() < 1.0


def test_a_single_condition_has_no_rank():
    assert np.isnan(metrics.rank_score([[1.0]], [[1.0]], "l2"))
    assert np.isnan(metrics.discrimination_score([[1.0]], [[1.0]]))


def test_scores_follow_the_order_of_conditions(shifts):
    predicted, true, _ = shifts
    order = np.random.default_rng(1).permutation(len(true))
    np.testing.assert_allclose(
        metrics.discrimination_score(predicted[order], true[order], "l2"),
        metrics.discrimination_score(predicted, true, "l2")[order],
    )


def test_missing_predictions_are_refused():
    with pytest.raises(ValueError, match="`predicted` has 1 values that are NaN"):
        metrics.weighted_mse([[np.nan]], [[1.0]], [[1.0]])
