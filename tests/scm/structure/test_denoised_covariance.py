import numpy as np
import pytest
from scipy.stats import binom

from scgim.scm.structure._denoised_covariance import (
    CountScreen,
    compute_denoised_covariance,
    control_deviation,
    expected_halves,
    thin_counts,
)

N_CELLS = 6000
COVARIANCE = np.array([[0.3, 0.15, 0.0], [0.15, 0.3, 0.0], [0.0, 0.0, 0.2]])


@pytest.fixture(scope="module")
def screen():
    """Poisson counts of log-normal rates: two correlated genes, one on its own; no shifts."""
    rng = np.random.default_rng(0)
    log_rate = rng.multivariate_normal(np.zeros(3), COVARIANCE, N_CELLS) + 0.5
    counts = rng.poisson(np.exp(log_rate))
    perturbation = np.repeat([-1, 0, 1], N_CELLS // 3)
    return CountScreen(counts, np.ones(N_CELLS), perturbation, np.zeros((N_CELLS, 0)))


def test_halves_add_up_and_have_independent_noise():
    rng = np.random.default_rng(0)
    counts = rng.poisson(5.0, (20_000, 1))
    first, second = thin_counts(counts, rng)
    np.testing.assert_array_equal(first + second, counts)
    assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.03


def test_counting_noise_leaves_no_variance_behind():
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (N_CELLS, 2))
    pure_noise = CountScreen(
        counts, np.ones(N_CELLS), np.repeat([-1, 0], N_CELLS // 2), np.zeros((N_CELLS, 0))
    )
    _, deviation = control_deviation(pure_noise)
    covariance = compute_denoised_covariance(pure_noise, deviation)
    np.testing.assert_allclose(np.diag(covariance.measured), 1.0, atol=0.1)
    np.testing.assert_allclose(covariance.reliability, 0.0, atol=0.03)


def test_nothing_is_drawn_because_the_mean_over_all_thinnings_is_known():
    """Against the mean over many random thinnings, with size factors and a covariate."""
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 2, (300, 1)).astype(float)
    log_rate = rng.multivariate_normal(np.zeros(3), COVARIANCE, 300) + [0.0, 1.0, 4.5] + 0.3 * batch
    size_factor = rng.uniform(0.5, 2.0, 300)
    counts = rng.poisson(size_factor[:, None] * np.exp(log_rate))
    screen = CountScreen(counts, size_factor, np.repeat([-1, 0, 1], 100), batch)
    _, deviation = control_deviation(screen)
    crossed = []
    for _ in range(2000):
        halves = [
            screen.centre(screen.log_expression(half, 0.5) / deviation)
            for half in thin_counts(counts, rng)
        ]
        crossed.append(halves[0].T @ halves[1] / 297)
    error = np.std(crossed, axis=0) / np.sqrt(len(crossed))
    exact = compute_denoised_covariance(screen, deviation).denoised
    # Covariates take up a share of each cell's own deviation, which is not followed.
    slack = 4 * error + 0.01 * np.diag(np.diag(exact))
    assert (np.abs(exact - np.mean(crossed, axis=0)) < slack).all()


@pytest.mark.parametrize("count", [1, 2, 17, 60, 61, 200])
def test_halves_of_each_count_are_averaged_over_the_binomial(count):
    first, size = np.arange(count + 1), 0.7
    weight, one = binom.pmf(first, count, 0.5), np.log1p(2 * np.arange(count + 1) / 0.7)
    mean, product = expected_halves(np.array([[count, 0]]), np.array([size]))
    np.testing.assert_allclose(mean, [[one @ weight, 0]], atol=3e-5)
    np.testing.assert_allclose(product, [[(one * one[::-1]) @ weight, 0]], atol=3e-5)


def test_denoised_correlation_is_nearer_the_truth_than_the_measured_one(screen):
    _, deviation = control_deviation(screen)
    covariance = compute_denoised_covariance(screen, deviation)

    def correlation(matrix):
        return matrix[0, 1] / np.sqrt(matrix[0, 0] * matrix[1, 1])

    assert correlation(covariance.measured) < 0.3
    assert correlation(covariance.denoised) == pytest.approx(0.5, abs=0.08)
    assert covariance.denoised[0, 2] == pytest.approx(0.0, abs=0.03)


def test_regularised_covariance_is_positive_definite_and_shrinks_correlations(screen):
    _, deviation = control_deviation(screen)
    covariance = compute_denoised_covariance(screen, deviation)
    weak, strong = covariance.regularised(0.1), covariance.regularised(100.0)
    assert np.linalg.eigvalsh(weak).min() > 0
    assert abs(strong[0, 1]) / strong[0, 0] < abs(weak[0, 1]) / weak[0, 0]


def test_covariates_are_regressed_out_by_the_control_cells():
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 2, (4000, 1)).astype(float)
    counts = rng.poisson(np.exp(0.5 + batch))
    perturbation = np.repeat([-1, 0], 2000)
    corrected = CountScreen(counts, np.ones(4000), perturbation, batch)
    expression = corrected.log_expression(counts)[:, 0]
    gap = expression[batch[:, 0] == 1].mean() - expression[batch[:, 0] == 0].mean()
    assert abs(gap) < 0.05


def test_centring_takes_the_mean_of_each_perturbation_away(screen):
    centred = screen.centre(screen.counts.astype(float))
    for code in (-1, 0, 1):
        means = centred[screen.perturbation == code].mean(axis=0)
        np.testing.assert_allclose(means, 0.0, atol=1e-12)
