import numpy as np
import pytest

from scgim.scm import ConditionStatistics, RandomEffects
from scgim.scm.generator._empirical_bayes import estimate_free_effects, estimate_hill_effects

N_ROWS, N_NODES, HILL = 4, 3, 1.3
LOG10_DOSES = np.array([-1.5, -0.5, 0.5, 1.5])


def _prior(shift=0.0, shift_variance=9.0, log10_ec50=0.0, log10_ec50_variance=1.0, width=N_NODES):
    return RandomEffects(
        shift=np.full((N_ROWS, width), shift),
        shift_variance=np.full(N_ROWS, shift_variance),
        log10_ec50=np.full(N_ROWS, log10_ec50),
        log10_ec50_variance=np.full(N_ROWS, log10_ec50_variance),
    )


def _response(log10_dose, log10_ec50):
    return 1 / (1 + 10 ** (HILL * (log10_ec50 - log10_dose)))


@pytest.fixture
def truth():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_ROWS, N_NODES)) * 2, rng.uniform(-0.7, 0.7, N_ROWS)


def _simulate(truth, n_cells, rng=None):
    shift, log10_ec50 = truth
    perturbation = np.repeat(np.arange(N_ROWS), len(LOG10_DOSES))
    log10_dose = np.tile(LOG10_DOSES, N_ROWS)
    response = _response(log10_dose, log10_ec50[perturbation])
    residual = response[:, None] * shift[perturbation]
    if rng is not None:
        residual = residual + rng.normal(size=residual.shape) / np.sqrt(n_cells)
    return ConditionStatistics(
        perturbation, log10_dose, np.full(len(log10_dose), n_cells), residual
    )


def test_shift_and_ec50_are_recovered_from_many_cells(truth):
    rows = estimate_hill_effects(_simulate(truth, 1e5, np.random.default_rng(1)), _prior(), HILL)
    np.testing.assert_allclose(rows.shift, truth[0], atol=0.05)
    np.testing.assert_allclose(rows.log10_ec50, truth[1], atol=0.05)


def test_ec50_is_uncertain_where_cells_are_few(truth):
    few = estimate_hill_effects(_simulate(truth, 5.0), _prior(), HILL)
    many = estimate_hill_effects(_simulate(truth, 500.0), _prior(), HILL)
    assert (few.log10_ec50_variance > many.log10_ec50_variance).all()
    assert (few.shift_variance > many.shift_variance).all()


def test_without_cells_the_rows_are_the_prior(truth):
    prior = _prior(shift=1.5, shift_variance=0.4, log10_ec50=0.3, log10_ec50_variance=0.2)
    rows = estimate_hill_effects(_simulate(truth, 0.0), prior, HILL)
    np.testing.assert_allclose(rows.shift, prior.shift)
    np.testing.assert_allclose(rows.shift_variance, 0.4)
    np.testing.assert_allclose(rows.log10_ec50, 0.3, atol=1e-6)
    np.testing.assert_allclose(rows.log10_ec50_variance, 0.2, rtol=1e-3)


def test_a_perturbation_without_conditions_keeps_its_prior(truth):
    statistics = _simulate(truth, 100.0)
    kept = statistics.perturbation != 2
    partial = ConditionStatistics(*(values[kept] for values in vars(statistics).values()))
    rows = estimate_hill_effects(partial, _prior(shift=0.7), HILL)
    np.testing.assert_allclose(rows.shift[2], 0.7)
    assert rows.log10_ec50[2] == pytest.approx(0.0, abs=1e-6)


def test_saturated_cells_shrink_by_their_share_of_the_precision(truth):
    statistics = _simulate(truth, 4.0)
    saturated = ConditionStatistics(
        statistics.perturbation, np.full(16, np.inf), statistics.n_cells, statistics.residual
    )
    rows = estimate_hill_effects(saturated, _prior(shift_variance=0.5), HILL)
    means = statistics.residual.reshape(N_ROWS, len(LOG10_DOSES), N_NODES).mean(1)
    np.testing.assert_allclose(rows.shift, means * 16 / (16 + 2), rtol=1e-6)
    np.testing.assert_allclose(rows.shift_variance, 1 / 18)


def test_rotating_the_nodes_rotates_the_rows(truth):
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(N_NODES, N_NODES)))[0]
    statistics = _simulate(truth, 20.0, np.random.default_rng(3))
    rotated = ConditionStatistics(
        statistics.perturbation,
        statistics.log10_dose,
        statistics.n_cells,
        statistics.residual @ rotation,
    )
    plain = estimate_hill_effects(statistics, _prior(), HILL)
    other = estimate_hill_effects(rotated, _prior(), HILL)
    np.testing.assert_allclose(other.shift, plain.shift @ rotation)
    np.testing.assert_allclose(other.log10_ec50, plain.log10_ec50)


def test_a_prior_ec50_far_from_the_others_is_kept(truth):
    prior = _prior(log10_ec50_variance=0.1)
    prior.log10_ec50[0] = 3.0
    rows = estimate_hill_effects(_simulate(truth, 0.0), prior, HILL)
    assert rows.log10_ec50[0] == pytest.approx(3.0, abs=0.05)


def test_free_rows_are_the_posterior_mean_of_a_linear_model(truth):
    statistics = _simulate(truth, 7.0, np.random.default_rng(4))
    rng = np.random.default_rng(5)
    response = rng.random((len(statistics.log10_dose), 2))
    prior = _prior(shift=0.5, shift_variance=0.8, width=2 * N_NODES)
    rows = estimate_free_effects(statistics, response, prior)
    for row in range(N_ROWS):
        mine = statistics.perturbation == row
        design = response[mine]
        precision = 7.0 * design.T @ design + np.eye(2) / 0.8
        right = 7.0 * design.T @ statistics.residual[mine] + np.full((2, N_NODES), 0.5) / 0.8
        expected = np.linalg.solve(precision, right)
        np.testing.assert_allclose(rows.shift[row].reshape(2, N_NODES), expected)
        expected_variance = np.diag(np.linalg.inv(precision)).mean()
        assert rows.shift_variance[row] == pytest.approx(expected_variance)


def test_free_rows_without_cells_are_the_prior(truth):
    statistics = _simulate(truth, 0.0)
    prior = _prior(shift=0.5, shift_variance=0.8, width=2 * N_NODES)
    rows = estimate_free_effects(statistics, np.ones((len(statistics.log10_dose), 2)), prior)
    np.testing.assert_allclose(rows.shift, 0.5)
    np.testing.assert_allclose(rows.shift_variance, 0.8)
