import numpy as np
import pytest

from scgim.scm.generator._perturbation_features import FeatureScaling, tanimoto


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    continuous = rng.normal(3.0, 2.0, size=(12, 2))
    bits = (rng.random((12, 3)) < 0.5).astype(float)
    return np.c_[continuous, np.full(12, 7.0), bits]


BLOCKS = np.array([0, 0, 0, 1, 2, 1])


def test_constant_columns_are_left_out_and_binary_columns_are_told_apart(features):
    scaling = FeatureScaling.fit(features, BLOCKS)
    assert scaling.continuous.tolist() == [0, 1]
    assert [block.tolist() for block in scaling.binary_blocks] == [[3, 5], [4]]


def test_standardised_columns_have_mean_zero_and_unit_spread(features):
    standardised = FeatureScaling.fit(features, BLOCKS).standardise(features)
    np.testing.assert_allclose(standardised.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(standardised.std(0), 1)


def test_outliers_are_limited_to_four_standard_deviations(features):
    scaling = FeatureScaling.fit(features, BLOCKS)
    far = features[:1].copy()
    far[0, :2] = 1e6, -1e6
    assert scaling.standardise(far).tolist() == [[4.0, -4.0]]


def test_additive_features_of_a_sum_are_the_sum_of_additive_features(features):
    scaling = FeatureScaling.fit(features, BLOCKS)
    one, other = features[:1], features[1:2]
    np.testing.assert_allclose(
        scaling.additive(one + other), scaling.additive(one) + scaling.additive(other)
    )


def test_columns_in_like_units_share_one_scale(features):
    scaling = FeatureScaling.fit(features, BLOCKS)
    assert np.unique(scaling.additive_scale).size == 1


def test_columns_in_very_different_units_get_their_own_scale(features):
    features = np.c_[features, np.random.default_rng(1).normal(size=12) * 1e4]
    scaling = FeatureScaling.fit(features, np.append(BLOCKS, 0))
    np.testing.assert_allclose(scaling.additive_scale, scaling.sd)


def test_features_without_continuous_columns_have_blocks_only():
    bits = np.eye(4)
    scaling = FeatureScaling.fit(bits, np.zeros(4, dtype=int))
    assert scaling.standardise(bits).shape == (4, 0)
    np.testing.assert_array_equal(scaling.additive(bits), bits)
    np.testing.assert_array_equal(scaling.blocks(bits)[0], bits)


def test_tanimoto_is_common_bits_over_all_bits():
    left = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    right = np.array([[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(tanimoto(left, right), [[0.25, 1.0, 0.0], [0.0, 0.0, 0.0]])
