import numpy as np
import pytest

from scgim.scm.generator._adaptive_shrinkage import shrink


def sparse_effects(rng, n_sets=20, n_effects=500, share=0.05):
    is_effect = rng.random((n_sets, n_effects)) < share
    return np.where(is_effect, rng.normal(0, 4, (n_sets, n_effects)), 0.0)


def test_estimates_are_drawn_to_zero_and_keep_their_sign():
    rng = np.random.default_rng(0)
    estimate = sparse_effects(rng) + rng.normal(size=(20, 500))
    shrunk = shrink(estimate, np.ones_like(estimate))
    assert (np.abs(shrunk.mean) <= np.abs(estimate)).all()
    assert (shrunk.mean * estimate >= 0).all()
    assert (shrunk.variance >= 0).all()


def test_sparse_effects_are_better_known_after_shrinking():
    rng = np.random.default_rng(1)
    truth = sparse_effects(rng)
    estimate = truth + rng.normal(size=truth.shape)
    error = np.square(shrink(estimate, np.ones_like(truth)).mean - truth).mean()
    assert error < 0.35 * np.square(estimate - truth).mean()
    assert error < 0.35 * np.square(truth).mean()


def test_a_scale_of_effects_and_errors_is_one_of_the_posterior():
    rng = np.random.default_rng(2)
    estimate = sparse_effects(rng) + rng.normal(size=(20, 500))
    one = shrink(estimate, np.ones_like(estimate))
    ten = shrink(10 * estimate, np.full_like(estimate, 10.0))
    np.testing.assert_allclose(ten.mean, 10 * one.mean, rtol=1e-9)
    np.testing.assert_allclose(ten.false_sign_rate, one.false_sign_rate, atol=1e-12)


def test_false_signs_are_as_rare_as_stated():
    rng = np.random.default_rng(3)
    truth = sparse_effects(rng, n_sets=50)
    shrunk = shrink(truth + rng.normal(size=truth.shape), np.ones_like(truth))
    called = shrunk.false_sign_rate < 0.1
    assert called.sum() > 300
    assert (truth * shrunk.mean <= 0)[called].mean() < 0.1


def test_pure_noise_is_no_effect():
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(10, 400))
    shrunk = shrink(noise, np.ones_like(noise))
    assert np.square(shrunk.mean).mean() < 0.05
    assert not (shrunk.false_sign_rate < 0.05).any()


def test_a_set_with_few_effects_leans_on_the_others():
    rng = np.random.default_rng(5)
    many = rng.normal(0, 3, (30, 300)) + rng.normal(size=(30, 300))
    alone, among = np.zeros((1, 300)), np.vstack([many, np.zeros((1, 300))])
    alone[0, 0] = among[-1, 0] = 3.0
    errors = np.ones_like(among)
    leaning = shrink(among, errors).mean[-1, 0]
    assert leaning > shrink(alone, errors[:1]).mean[0, 0]


def test_what_was_not_measured_has_no_effect():
    estimate, error = np.array([[5.0, 0.0, -4.0]]), np.array([[1.0, np.inf, 1.0]])
    shrunk = shrink(estimate, error)
    assert shrunk.mean[0, 1] == 0
    assert shrunk.variance[0, 1] == 0
    assert shrunk.false_sign_rate[0, 1] == 1
    nothing = shrink(np.zeros((2, 3)), np.full((2, 3), np.inf))
    np.testing.assert_array_equal(nothing.mean, 0)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 4)])
def test_small_tables_are_shrunk_too(shape):
    shrunk = shrink(np.full(shape, 2.0), np.ones(shape))
    assert np.isfinite(shrunk.mean).all()
    assert (shrunk.mean > 0).all()


def test_an_effect_far_above_its_error_is_kept_as_it_is():
    estimate = np.array([[5.0, 0.0, 0.0, 0.0]])
    shrunk = shrink(estimate, np.full_like(estimate, 1e-12))
    np.testing.assert_allclose(shrunk.mean[0, 0], 5.0, rtol=1e-3)
    assert shrunk.false_sign_rate[0, 0] < 1e-6
