import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from scgim.scm import InterventionGenerator, RandomEffects
from scgim.scm.generator._intervention_generator import combine, explained_share, leave_out, stack

N, N_FEATURES, N_NODES = 16, 5, 4
BLOCKS = np.zeros(N_FEATURES, dtype=int)


def _learn(features, shift, log10_ec50=None, noise=0.01):
    n = len(shift)
    ec50 = np.zeros(n) if log10_ec50 is None else log10_ec50
    rows = RandomEffects(shift, np.full(n, noise), ec50, np.full(n, 0.05))
    return InterventionGenerator(
        features, BLOCKS, rows, noise=np.full(n, noise), ec50_noise=np.full(n, 0.05)
    )


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).normal(size=(N, N_FEATURES))


@pytest.fixture(scope="module")
def slope():
    return np.random.default_rng(1).normal(size=(N_FEATURES, N_NODES))


@pytest.fixture(scope="module")
def linear(features, slope):
    return _learn(features, features @ slope, 0.5 * features[:, 0])


@pytest.fixture(scope="module")
def classes():
    """Four mechanisms with four perturbations each."""
    rng = np.random.default_rng(2)
    centres, effects = rng.normal(size=(4, N_FEATURES)) * 2, np.eye(4)[:, :N_NODES] * 3
    label = np.repeat(np.arange(4), 4)
    features = centres[label] + 0.2 * rng.normal(size=(N, N_FEATURES))
    shift = effects[label] + 0.1 * rng.normal(size=(N, N_NODES))
    return centres, effects, features, shift


@pytest.fixture(scope="module")
def of_classes(classes):
    return _learn(*classes[2:])


def test_a_linear_world_is_found(linear, features, slope):
    report = linear.report(n_permutations=19)
    assert report.left_out_r2["generator"] > 0.98
    assert report.left_out_r2["ridge"] > 0.98
    unseen = np.random.default_rng(3).normal(size=(8, N_FEATURES)) * 0.8
    assert explained_share(unseen @ slope, linear.predict(unseen).shift) > 0.97


def test_the_linear_world_is_extrapolated_by_ridge(linear, slope):
    far = np.full((1, N_FEATURES), 6.0)
    generated = linear.predict(far)
    assert generated.is_far.tolist() == [True]
    assert generated.distance[0] > 1
    assert explained_share(far @ slope, generated.shift) > 0.9


def test_ec50_is_learned_from_the_features_too(linear):
    unseen = np.random.default_rng(4).normal(size=(20, N_FEATURES)) * 0.8
    predicted = linear.predict(unseen).log10_ec50
    assert np.corrcoef(predicted, unseen[:, 0])[0, 1] > 0.9


def test_a_null_world_is_predicted_as_no_effect(features):
    rng = np.random.default_rng(5)
    shift = rng.normal(size=(N, N_NODES))
    generator = _learn(features, shift)
    unseen = rng.normal(size=(20, N_FEATURES))
    assert not generator.is_informative
    assert np.square(generator.predict(unseen).shift).max() == 0
    assert generator.report(n_permutations=9).left_out_r2["generator"] == 0


def test_useless_features_do_not_earn_the_mean_effect_of_the_others(features):
    shift = 3.0 + np.random.default_rng(5).normal(size=(N, N_NODES))
    shuffled = _learn(features, shift)
    assert not shuffled.report().is_informative
    assert np.square(shuffled.predict(features[:3] + 0.1).shift).max() == 0


def test_a_sum_of_two_mechanisms_is_predicted_by_prototypes(of_classes, classes):
    centres, effects = classes[:2]
    generated = of_classes.predict(centres[[0]] + centres[[2]])
    assert generated.n_summands.tolist() == [2]
    assert generated.is_far.tolist() == [True]
    assert explained_share(effects[[0]] + effects[[2]], generated.shift) > 0.85


def test_a_member_of_a_known_mechanism_is_near(of_classes, classes):
    centres, effects = classes[:2]
    generated = of_classes.predict(centres)
    assert not generated.is_far.any()
    assert generated.n_summands.tolist() == [1, 1, 1, 1]
    assert explained_share(effects, generated.shift) > 0.95


def test_features_that_explain_the_shifts_are_reported_as_used(of_classes):
    report = of_classes.report(n_permutations=99)
    assert report.feature_use > 0.8
    assert report.p_value == pytest.approx(0.01)


def test_shuffled_features_are_reported_as_unused(classes):
    _, _, features, shift = classes
    shuffled = np.random.default_rng(6).permutation(features)
    report = _learn(shuffled, shift).report(n_permutations=99)
    assert report.feature_use < 0.3
    assert report.p_value > 0.05


def test_report_names_all_members_and_weights_sum_to_one_at_most(of_classes):
    report = of_classes.report(n_permutations=1)
    members = {"ridge", "neighbours", "gaussian_process", "prototypes"}
    assert set(report.weights) == set(report.far_weights) == members
    assert set(report.left_out_r2) == members | {"generator"}
    for weights in (report.weights, report.far_weights):
        assert min(weights.values()) >= 0
        assert sum(weights.values()) <= 1 + 1e-9
    assert report.far_weights["neighbours"] == report.far_weights["gaussian_process"] == 0


def test_rotating_the_nodes_rotates_the_predictions(of_classes, classes):
    centres, _, features, shift = classes
    rotation = np.linalg.qr(np.random.default_rng(7).normal(size=(N_NODES, N_NODES)))[0]
    rotated = _learn(features, shift @ rotation)
    questions = np.r_[centres, centres[[0]] + centres[[2]], 0.5 * centres]
    np.testing.assert_allclose(
        rotated.predict(questions).shift,
        of_classes.predict(questions).shift @ rotation,
        atol=0.01 * np.abs(shift).max(),
    )
    np.testing.assert_allclose(
        rotated.left_out_shift,
        of_classes.left_out_shift @ rotation,
        atol=0.01 * np.abs(shift).max(),
    )


def test_left_out_prediction_does_not_see_its_own_row(features, slope):
    shift = features @ slope
    shift[0] += 50.0
    left_out = _learn(features, shift).left_out_shift
    assert np.abs(left_out[0] - shift[0]).max() > 25.0


def test_drawn_residuals_are_those_of_left_out_perturbations(linear, features, slope):
    rng = np.random.default_rng(8)
    shift, log10_ec50 = linear.draw_residuals(np.array([1, 1]), np.zeros(2, bool), 30, rng)
    assert shift.shape == (30, 2, N_NODES)
    assert log10_ec50.shape == (30, 2)
    residuals = features @ slope - linear.left_out_shift
    distance = np.abs(shift.reshape(-1, 1, N_NODES) - residuals).max(-1).min(1)
    np.testing.assert_allclose(distance, 0, atol=1e-12)


def test_a_sum_of_mechanisms_may_be_wrong_about_each_of_them(of_classes):
    rng = np.random.default_rng(9)
    shift, _ = of_classes.draw_residuals(np.array([1, 3]), np.zeros(2, bool), 4000, rng)
    variance = shift.var(0).sum(-1)
    assert variance[1] / variance[0] == pytest.approx(3, rel=0.15)


def test_an_unknown_mechanism_may_do_what_any_seen_perturbation_does(of_classes, classes):
    centres, _, _, seen_shift = classes
    questions = np.r_[centres[[0]], centres[[0]] + centres[[2]], -3 * centres[[1]]]
    generated = of_classes.predict(questions)
    assert generated.is_far.tolist() == [False, True, True]
    assert generated.is_unknown.tolist() == [False, False, True]
    assert generated.n_summands.tolist() == [1, 2, 1]
    np.testing.assert_array_equal(generated.shift[2], 0)
    rng = np.random.default_rng(12)
    shift, _ = of_classes.draw_residuals(generated.n_summands, generated.is_unknown, 4000, rng)
    variance = shift.var(0).sum(-1)
    assert variance[2] == pytest.approx(seen_shift.var(0).sum(), rel=0.1)
    assert variance[2] > 5 * variance[1] > 5 * variance[0]
    np.testing.assert_allclose(shift[:, 2].mean(0), 0, atol=0.1 * np.sqrt(variance[2]))


def test_linear_features_are_extrapolated_far_from_all_seen(linear, features, slope):
    far = 12 * features[[0]]
    generated = linear.predict(far)
    assert generated.is_far.all()
    assert not generated.is_unknown.any()
    np.testing.assert_allclose(generated.shift, far @ slope, rtol=0.3)


def test_many_perturbations_are_left_out_in_folds():
    rng = np.random.default_rng(10)
    features = rng.normal(size=(210, 2))
    outputs = features @ np.array([[1.0, 0.0], [0.5, -1.0]])
    left_out = leave_out(RidgeCV([1e-3, 1.0]), features, outputs)
    assert explained_share(outputs, left_out) > 0.99


def test_stacking_finds_the_member_that_is_right():
    rng = np.random.default_rng(11)
    outputs = rng.normal(size=(30, 2))
    weights = stack(outputs, {"right": outputs, "wrong": rng.normal(size=(30, 2))})
    assert weights == pytest.approx({"right": 1.0, "wrong": 0.0}, abs=1e-6)


def test_stacking_never_adds_up_to_more_than_one():
    outputs = np.ones((5, 2))
    weights = stack(outputs, {"half": 0.4 * outputs, "zero": 0 * outputs})
    assert sum(weights.values()) == pytest.approx(1.0)


def test_combined_prediction_is_the_weighted_sum():
    predictions = {"a": np.array([[1.0, 2.0]]), "b": np.array([[10.0, 20.0]])}
    assert combine({"a": 0.5, "b": 0.1}, predictions).tolist() == [[1.5, 3.0]]


def test_explained_share_is_one_when_right_and_zero_for_no_effect():
    outputs = np.array([[1.0, -2.0]])
    assert explained_share(outputs, outputs) == 1.0
    assert explained_share(outputs, 0 * outputs) == 0.0
