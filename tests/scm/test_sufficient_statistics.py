import numpy as np
import pytest

from scgim.scm._sufficient_statistics import (
    SplineBasis,
    compute_sufficient_statistics,
    compute_target_penalty,
)


@pytest.fixture
def screen():
    rng = np.random.default_rng(0)
    condition = np.repeat([0, 1, 2, 3], [5, 3, 4, 6])
    return rng.standard_normal((18, 2)), condition, np.array([-1, 0, 0, 1])


def test_scatter_within_and_between_conditions_add_up_to_the_second_moment(screen):
    values, condition, perturbation = screen
    statistics = compute_sufficient_statistics(values, condition, perturbation)
    total = statistics.within.sum(-1) + statistics.between.sum(-1)
    with_one = np.column_stack([values, np.ones(len(values))])
    np.testing.assert_allclose(total, with_one.T @ with_one)


def test_statistics_belong_to_their_perturbation_and_the_control_comes_last(screen):
    values, condition, perturbation = screen
    statistics = compute_sufficient_statistics(values, condition, perturbation)
    np.testing.assert_array_equal(statistics.n_cells, [7, 6, 5])
    control = values[:5]
    np.testing.assert_allclose(
        statistics.within[:2, :2, -1], np.cov(control.T, ddof=0) * 5, atol=1e-12
    )
    one, other = values[5:8].mean(0), values[8:12].mean(0)
    expected = 3 * np.outer(one, one) + 4 * np.outer(other, other)
    np.testing.assert_allclose(statistics.between[:2, :2, 0], expected)


def test_target_penalty_is_the_occam_factor_of_its_shifts():
    sizes, perturbation = np.array([100, 30, 40, 60]), np.array([-1, 0, 0, 1])
    penalty = compute_target_penalty(sizes, perturbation, 20)
    expected = 0.5 * np.log(121) + 0.5 * np.log(161) + np.log(10)
    np.testing.assert_allclose(penalty, [expected, 6.0])


def test_spline_basis_starts_with_the_nodes_themselves_and_is_smooth(screen):
    values = screen[0]
    basis = SplineBasis.fit(values, is_linear=False)
    expanded = basis.expand(values)
    assert basis.n_functions == 4
    np.testing.assert_array_equal(expanded[:, :2], values)
    far = basis.expand(np.full((1, 2), 50.0))
    np.testing.assert_allclose(far[0, 2:4], 50.0 - basis.knots[0], atol=1e-6)


def test_linear_basis_is_the_nodes_alone(screen):
    basis = SplineBasis.fit(screen[0], is_linear=True)
    np.testing.assert_array_equal(basis.expand(screen[0]), screen[0])


def test_columns_of_a_node_are_all_its_basis_functions(screen):
    values, condition, perturbation = screen
    statistics = compute_sufficient_statistics(values, condition, perturbation, is_linear=False)
    columns = statistics.columns_of(np.array([[1], [0]]))
    np.testing.assert_array_equal(np.sort(columns), [[1, 3, 5, 7], [0, 2, 4, 6]])
