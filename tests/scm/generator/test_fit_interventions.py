import numpy as np
import pytest

from scgim.scm import ConditionStatistics, InterventionFit

N_ROWS, N_NODES, HILL = 12, 3, 1.0
LOG10_DOSES = np.array([-1.0, 0.0, 1.0])
BLOCKS = np.zeros(4, dtype=int)


@pytest.fixture(scope="module")
def world():
    """Shift and EC50 are linear in the features; three doses with few cells each."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(N_ROWS, 4))
    shift = features @ rng.normal(size=(4, N_NODES))
    log10_ec50 = 0.4 * features[:, 0]
    perturbation = np.repeat(np.arange(N_ROWS), 3)
    log10_dose = np.tile(LOG10_DOSES, N_ROWS)
    response = 1 / (1 + 10 ** (HILL * (log10_ec50[perturbation] - log10_dose)))
    n_cells = np.full(len(log10_dose), 4.0)
    residual = (
        response[:, None] * shift[perturbation] + rng.normal(size=(len(n_cells), N_NODES)) / 2
    )
    statistics = ConditionStatistics(perturbation, log10_dose, n_cells, residual)
    return features, shift, log10_ec50, statistics


def _fit(statistics, response=None, shift=None):
    n_curves = 1 if response is None else response.shape[1]
    shift = np.zeros((N_ROWS, n_curves * N_NODES)) if shift is None else shift
    return InterventionFit(
        statistics, response=response, shift=shift, log10_ec50=np.zeros(N_ROWS), hill=HILL
    )


@pytest.fixture(scope="module")
def without_features(world):
    return _fit(world[3])


@pytest.fixture(scope="module")
def with_features(world):
    fit = _fit(world[3])
    fit.learn_generator(world[0], BLOCKS)
    return fit


def test_without_features_there_are_rows_but_no_generator(world, without_features):
    assert without_features.generator is None
    assert without_features.effects.shift.shape == (N_ROWS, N_NODES)
    assert np.corrcoef(without_features.effects.shift.ravel(), world[1].ravel())[0, 1] > 0.8


def test_features_bring_noisy_rows_nearer_to_the_truth(world, without_features, with_features):
    _, shift, log10_ec50, _ = world
    before, after = without_features.effects, with_features.effects
    assert np.square(after.shift - shift).sum() < 0.7 * np.square(before.shift - shift).sum()
    error = np.square(after.log10_ec50 - log10_ec50).sum()
    assert error < np.square(before.log10_ec50 - log10_ec50).sum()


def test_learned_generator_predicts_unseen_perturbations(world, with_features):
    features, shift = world[:2]
    slope = np.linalg.lstsq(features, shift, rcond=None)[0]
    unseen = 0.7 * np.random.default_rng(1).normal(size=(6, 4))
    predicted = with_features.generator.predict(unseen).shift
    error = np.square(predicted - unseen @ slope).sum() / np.square(unseen @ slope).sum()
    assert error < 0.3


def test_three_perturbations_are_too_few_for_a_generator(world):
    features, _, _, statistics = world
    kept = statistics.perturbation < 3
    few = ConditionStatistics(*(values[kept] for values in vars(statistics).values()))
    fit = InterventionFit(
        few, response=None, shift=np.zeros((3, N_NODES)), log10_ec50=np.zeros(3), hill=HILL
    )
    fit.learn_generator(features[:3], BLOCKS)
    assert fit.generator is None


def test_screens_without_doses_are_fitted_at_saturation(world):
    features, _, _, statistics = world
    top = statistics.log10_dose == 1.0
    saturated = ConditionStatistics(
        statistics.perturbation[top],
        np.full(N_ROWS, np.inf),
        np.full(N_ROWS, 1e6),
        statistics.residual[top],
    )
    fit = _fit(saturated)
    fit.learn_generator(features, BLOCKS)
    np.testing.assert_allclose(fit.effects.shift, statistics.residual[top], atol=1e-3)


def test_fixed_curves_have_one_row_per_curve(world):
    features, _, _, statistics = world
    response = 1 / (1 + 10 ** (np.array([-0.5, 0.5]) - statistics.log10_dose[:, None]))
    fit = _fit(statistics, response)
    fit.learn_generator(features, BLOCKS)
    assert fit.effects.shift.shape == (N_ROWS, 2 * N_NODES)
    assert fit.generator.predict(features).shift.shape == (N_ROWS, 2 * N_NODES)
    curves = fit.effects.shift.reshape(N_ROWS, 2, N_NODES)[statistics.perturbation]
    fitted = np.einsum("nc,ncj->nj", response, curves)
    assert np.corrcoef(fitted.ravel(), statistics.residual.ravel())[0, 1] > 0.9


def test_rotating_the_nodes_rotates_everything_that_is_learned(world, with_features):
    features, _, _, statistics = world
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(N_NODES, N_NODES)))[0]
    rotated = ConditionStatistics(
        statistics.perturbation,
        statistics.log10_dose,
        statistics.n_cells,
        statistics.residual @ rotation,
    )
    fit = _fit(rotated)
    fit.learn_generator(features, BLOCKS)
    tolerance = 0.01 * np.abs(with_features.effects.shift).max()
    np.testing.assert_allclose(
        fit.effects.shift, with_features.effects.shift @ rotation, atol=tolerance
    )
    np.testing.assert_allclose(fit.effects.log10_ec50, with_features.effects.log10_ec50, atol=0.01)


def test_perturbations_without_a_condition_of_their_own_keep_their_row_and_teach_it(world):
    features, shift, _, statistics = world
    has_own = statistics.perturbation > 1
    own = ConditionStatistics(*(values[has_own] for values in vars(statistics).values()))
    fit = _fit(own, shift=shift)
    fit.learn_generator(features, BLOCKS)
    np.testing.assert_array_equal(fit.effects.shift[:2], shift[:2])
    unmoved = _fit(own)
    unmoved.learn_generator(features, BLOCKS)

    def error(learned):
        return np.square(learned.generator.predict(features[:2]).shift - shift[:2]).sum()

    assert error(fit) < error(unmoved)
