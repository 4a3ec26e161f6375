import numpy as np

from scgim.scm.generator._effect_kernel import EffectKernel, compare_features
from scgim.scm.generator._perturbation_features import FeatureScaling


def features(rng, n=30):
    return np.hstack([rng.normal(size=(n, 3)), (rng.random((n, 8)) < 0.4).astype(float)])


def test_a_perturbation_is_most_like_itself_by_fingerprints():
    rng = np.random.default_rng(0)
    bits = (rng.random((20, 40)) < 0.3).astype(float)
    scaling = FeatureScaling.fit(bits, np.zeros(40, int))
    similarity = compare_features(bits, bits, scaling)
    np.testing.assert_allclose(similarity, similarity.T)
    np.testing.assert_allclose(similarity.diagonal(), similarity.max(1))


def test_leaving_one_out_is_what_a_refit_without_it_gives():
    rng = np.random.default_rng(1)
    x = features(rng)
    scaling = FeatureScaling.fit(x, np.repeat([0, 1], [3, 8]))
    kernel = EffectKernel.of(x, scaling)
    effect = kernel.similarity @ rng.normal(size=(30, 4))
    effect -= effect.mean(0)
    coefficients, left_out = kernel.fit_ridge(effect)
    # The penalty that was chosen, from the coefficients themselves.
    residual = effect - kernel.similarity @ coefficients
    penalty = float((residual * coefficients).sum() / np.square(coefficients).sum())
    keep = np.arange(30) != 7
    inside = kernel.similarity[np.ix_(keep, keep)] + penalty * np.eye(29)
    expected = kernel.similarity[7, keep] @ np.linalg.solve(inside, effect[keep])
    np.testing.assert_allclose(left_out[7], expected, rtol=1e-6)


def test_features_that_say_nothing_predict_the_mean():
    rng = np.random.default_rng(2)
    x = features(rng)
    kernel = EffectKernel.of(x, FeatureScaling.fit(x, np.repeat([0, 1], [3, 8])))
    effect = rng.normal(size=(30, 200))
    coefficients, left_out = kernel.fit_ridge(effect - effect.mean(0))
    assert np.square(left_out).mean() < 0.1
    assert np.square(kernel.similarity @ coefficients).mean() < 0.2


def test_without_varying_features_nothing_is_similar():
    x = np.ones((5, 2))
    assert not compare_features(x, x, FeatureScaling.fit(x, np.zeros(2, int))).any()
