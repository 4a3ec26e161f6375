import numpy as np
import pytest

from scgim.scm.generator._target_prediction import Kernel, TargetPredictor

N, N_NODES = 40, 6


def draw(seed=0, n_features=12):
    rng = np.random.default_rng(seed)
    is_target = rng.random((N + 20, N_NODES)) < 0.3
    features = is_target @ rng.standard_normal((N_NODES, n_features))
    features = (features - features[:N].mean(0)) / features[:N].std(0)
    return features, is_target


def test_targets_mixed_into_features_are_read_back_for_unseen_perturbations():
    features, is_target = draw()
    predictor = TargetPredictor.fit(features[:N], is_target[:N])
    assert predictor.kernel.kind == "linear"
    assert ((predictor.probability(features[N:]) > 0.5) == is_target[N:]).all()
    assert predictor.left_out_error < 0.01


def test_features_that_say_nothing_give_back_the_base_rate():
    features, is_target = draw()
    noise = np.random.default_rng(1).standard_normal(features.shape)
    predictor = TargetPredictor.fit(noise[:N], is_target[:N])
    expected = np.broadcast_to(is_target[:N].mean(0), (20, N_NODES))
    np.testing.assert_allclose(predictor.probability(noise[N:]), expected, atol=0.2)
    assert predictor.left_out_error > 0.9


def test_permuted_features_predict_worse_only_where_features_say_something():
    features, is_target = draw()
    noise = np.random.default_rng(1).standard_normal(features.shape)
    p_values = [
        TargetPredictor.fit(columns[:N], is_target[:N]).permutation_p_value(
            is_target[:N], 39, np.random.default_rng(0)
        )
        for columns in (features, noise)
    ]
    assert p_values[0] == 1 / 40
    assert p_values[1] > 0.1


def test_left_out_probabilities_do_not_see_their_own_row():
    features, is_target = draw()
    flipped = is_target.copy()
    flipped[3] = ~flipped[3]
    one = TargetPredictor.fit(features[:N], is_target[:N])
    called = one.left_out_probability[3] > 0.5
    np.testing.assert_array_equal(called, is_target[3])
    other = TargetPredictor.fit(features[:N], flipped[:N])
    assert ((other.left_out_probability[3] > 0.5) == is_target[3]).mean() > 0.5


def test_relabelling_nodes_relabels_the_probabilities():
    features, is_target = draw()
    order = np.random.default_rng(2).permutation(N_NODES)
    plain = TargetPredictor.fit(features[:N], is_target[:N]).probability(features[N:])
    renamed = TargetPredictor.fit(features[:N], is_target[:N, order]).probability(features[N:])
    np.testing.assert_allclose(renamed, plain[:, order], atol=1e-8)


def test_no_target_at_all_is_predicted_as_none():
    features, is_target = draw()
    predictor = TargetPredictor.fit(features[:N], np.zeros_like(is_target[:N]))
    assert (predictor.probability(features[N:]) < 0.01).all()


def test_kernels_are_the_mean_product_and_its_gaussian():
    one, other = np.array([[1.0, 2.0]]), np.array([[3.0, 0.0]])
    assert Kernel()(one, other).item() == pytest.approx(1.5)
    assert Kernel("rbf", 2.0)(one, other).item() == pytest.approx(np.exp(-(8 / 2) / 8))
