import re
from functools import partial

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance as scipy_energy_distance
from scipy.stats import wasserstein_distance
from sklearn.metrics.pairwise import rbf_kernel

from scgim import metrics


@pytest.fixture
def groups():
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 4)), rng.normal(1.0, 2.0, size=(20, 4))


def test_energy_distance_of_two_pairs_of_points():
    # between: (1 + 3 + 1 + 1) / 4 = 1.5; within: 2 * 2 / 4 = 1 for each group
    assert metrics.energy_distance([[0.0], [2.0]], [[1.0], [3.0]]) == pytest.approx(3 - 1 - 1)


def test_energy_distance_agrees_with_all_pairs(groups):
    x, y = groups
    expected = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert metrics.energy_distance(x, y) == pytest.approx(expected, rel=1e-8)


def test_energy_distance_does_not_depend_on_chunks_order_or_origin(groups, monkeypatch):
    x, y = groups
    whole = metrics.energy_distance(x, y)
    monkeypatch.setattr("scgim.metrics._distribution.ENTRIES_PER_CHUNK", 50)
    assert metrics.energy_distance(y, x) == pytest.approx(whole)
    assert metrics.energy_distance(x + 1e4, y + 1e4) == pytest.approx(whole, rel=1e-6)


def test_energy_distance_of_equal_groups_is_zero(groups):
    assert metrics.energy_distance(groups[0], groups[0][::-1]) == pytest.approx(0, abs=1e-12)


def test_normalized_energy_distance_is_zero_for_the_replicate_and_one_for_the_control(groups):
    truth, control = groups
    replicate = truth[:20] + 0.1
    scores = [
        metrics.normalized_energy_distance(cells, truth, replicate=replicate, control=control)
        for cells in (replicate, control)
    ]
    np.testing.assert_allclose(scores, [0, 1])


def test_normalized_energy_distance_is_not_clipped_above_no_effect(groups):
    truth, control = groups
    score = metrics.normalized_energy_distance(
        control + 5, truth, replicate=truth[:20], control=control
    )
    assert score > 1


def test_normalized_energy_distance_without_an_effect_is_refused(groups):
    truth, replicate = groups
    with pytest.raises(ValueError, match="no effect to normalise by"):
        metrics.normalized_energy_distance(truth, truth, replicate=replicate, control=truth)


def test_mmd_of_two_points_with_one_bandwidth():
    expected = 2 - 2 * np.exp(-9 / (2 * 1.5**2))
    assert metrics.mmd([[0.0]], [[3.0]], bandwidths=[1.5]) == pytest.approx(expected)


def test_mmd_averages_over_bandwidths_and_ignores_units(groups):
    x, y = groups
    each = [metrics.mmd(x, y, bandwidths=[width]) for width in (1.0, 2.0)]
    assert metrics.mmd(x, y, bandwidths=[1.0, 2.0]) == pytest.approx(np.mean(each))
    assert metrics.mmd(10 * x, 10 * y) == pytest.approx(metrics.mmd(x, y))


def test_mmd_of_equal_groups_is_zero(groups):
    assert metrics.mmd(groups[0], groups[0]) == pytest.approx(0, abs=1e-12)


def test_largest_shifts_marks_genes_of_both_signs_per_condition():
    mask = metrics.largest_shifts([[1.0, -3.0, 2.0], [0.0, 0.1, -0.2]], 2)
    np.testing.assert_array_equal(mask, [[False, True, True], [False, True, True]])


def test_shift_r2_pools_conditions_and_counts_only_marked_genes():
    predicted, true = [[1.0, 9.0], [0.0, 1.0]], [[2.0, 9.0], [0.0, 2.0]]
    assert metrics.shift_r2(predicted, true) == pytest.approx(1 - 2 / 89)
    mask = [[True, False], [False, True]]
    assert metrics.shift_r2(predicted, true, genes=mask) == pytest.approx(1 - 2 / 8)


def test_shift_r2_is_zero_for_no_effect_and_negative_for_the_wrong_sign():
    assert metrics.shift_r2([0.0, 0.0], [1.0, 2.0]) == 0
    assert metrics.shift_r2([-1.0, -2.0], [1.0, 2.0]) == pytest.approx(-3)


def test_different_genes_are_named():
    with pytest.raises(ValueError, match="differ in their number of columns: `x` 2, `y` 3"):
        metrics.energy_distance(np.zeros((4, 2)), np.zeros((4, 3)))


def test_missing_values_are_counted():
    with pytest.raises(ValueError, match="`predicted` has 1 values that are NaN or infinite"):
        metrics.shift_r2([np.nan, 1.0], [1.0, 1.0])


def test_empty_group_is_refused():
    with pytest.raises(ValueError, match=r"`y` has shape \(0, 2\)"):
        metrics.mmd(np.zeros((4, 2)), np.zeros((0, 2)))


@pytest.mark.parametrize("n_other", [30, 20, 1])
def test_wasserstein_agrees_with_scipy_for_groups_of_any_size(groups, n_other):
    x, y = groups[0].round(1), groups[1][:n_other].round(1)
    expected = [wasserstein_distance(a, b) for a, b in zip(x.T, y.T, strict=True)]
    np.testing.assert_allclose(metrics.wasserstein_per_gene(x, y), expected, atol=1e-12)


def test_energy_distance_of_one_column_agrees_with_scipy(groups):
    x, y = groups[0][:, :1], groups[1][:, :1]
    expected = scipy_energy_distance(x[:, 0], y[:, 0]) ** 2
    assert metrics.energy_distance(x, y) == pytest.approx(expected, rel=1e-8)


def test_mmd_agrees_with_the_kernel_of_scikit_learn(groups):
    x, y = groups
    width = 1.5
    kernel = partial(rbf_kernel, gamma=1 / (2 * width**2))
    expected = kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()
    assert metrics.mmd(x, y, bandwidths=[width]) == pytest.approx(expected)


def test_dispersion_bias_is_signed_and_not_clipped(groups):
    x, _ = groups
    assert metrics.dispersion_bias(0.5 * x, x) == pytest.approx(-0.5)
    assert metrics.dispersion_bias(4 * x + 1, x) == pytest.approx(3.0)
    assert metrics.dispersion_bias(0 * x, x) == -1.0
    assert np.isnan(metrics.dispersion_bias(x, 0 * x))


def test_covariance_error_of_scaled_cells_is_the_change_of_scale(groups):
    x, _ = groups
    assert metrics.covariance_error(x + 5, x) == pytest.approx(0.0)
    assert metrics.covariance_error(2 * x, x) == pytest.approx(3.0)
    assert metrics.covariance_error(0 * x, x) == 1.0


def test_covariance_error_sees_structure_that_marginals_do_not():
    together, opposed = [[0.0, 0.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]
    # covariances .5 and -.5 off the diagonal: ‖difference‖ = √2, ‖truth‖ = 1
    assert metrics.covariance_error(opposed, together) == pytest.approx(np.sqrt(2))
    np.testing.assert_allclose(metrics.wasserstein_per_gene(opposed, together), 0.0)


@pytest.mark.parametrize("score", [metrics.dispersion_bias, metrics.covariance_error])
def test_variation_of_one_cell_is_refused(score):
    message = (
        "`predicted` has 1 cell, but variation over cells needs at least 2. "
        "Pass more cells, or leave out this condition."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score([[1.0]], [[1.0], [2.0]])
