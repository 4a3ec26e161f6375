import numpy as np
import pytest
import torch

from scgim.scm.generator._gaussian_process import GaussianProcess
from scgim.scm.generator._perturbation_features import FeatureScaling

N, N_OUTPUTS = 18, 3


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    return np.c_[rng.normal(size=(N, 3)), (rng.random((N, 6)) < 0.4).astype(float)]


def _fit(features, outputs, noise=0.01):
    blocks = np.repeat([0, 1], [3, features.shape[1] - 3])
    scaling = FeatureScaling.fit(features, blocks)
    return GaussianProcess(features, outputs, np.full(len(features), noise), scaling)


@pytest.fixture(scope="module")
def outputs(features):
    rng = np.random.default_rng(1)
    smooth = np.sin(2 * features[:, :1]) + features[:, 1:2] + features[:, 3:4]
    return smooth * rng.normal(size=(1, N_OUTPUTS)) + 0.1 * rng.normal(size=(N, N_OUTPUTS))


@pytest.fixture(scope="module")
def process(features, outputs):
    return _fit(features, outputs)


def test_leave_one_out_is_the_refit_without_each_row(process, outputs):
    covariance = process._covariance(process._log).detach().numpy()
    for row in range(N):
        others = np.arange(N) != row
        weights = np.linalg.solve(covariance[np.ix_(others, others)], outputs[others])
        refit = covariance[row, others] @ weights
        np.testing.assert_allclose(process.leave_one_out[row], refit, rtol=1e-6, atol=1e-8)


def test_leave_one_out_variance_is_scaled_so_that_errors_have_unit_variance(process, outputs):
    errors = outputs - process.leave_one_out
    standardised = errors / np.sqrt(process.leave_one_out_variance)[:, None]
    assert np.mean(standardised**2) == pytest.approx(1.0)


def test_prediction_of_a_seen_row_is_near_what_was_seen(process, features, outputs):
    mean, variance = process.predict(features)
    assert np.corrcoef(mean.ravel(), outputs.ravel())[0, 1] > 0.98
    assert (variance > 0).all()


def test_unlike_perturbations_are_less_certain_than_seen_ones(process, features):
    unlike = features[:1].copy()
    unlike[0, :3] = 10.0
    unlike[0, 3:] = 0.0
    assert process.predict(unlike)[1][0] > process.predict(features)[1].max()


def test_rotating_the_outputs_rotates_the_predictions(process, features, outputs):
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(N_OUTPUTS, N_OUTPUTS)))[0]
    rotated = _fit(features, outputs @ rotation)
    np.testing.assert_allclose(
        rotated.predict(features)[0], process.predict(features)[0] @ rotation, atol=1e-3
    )
    np.testing.assert_allclose(rotated.leave_one_out, process.leave_one_out @ rotation, atol=1e-3)


def test_order_of_the_perturbations_does_not_matter(process, features, outputs):
    order = np.random.default_rng(3).permutation(N)
    reordered = _fit(features[order], outputs[order])
    np.testing.assert_allclose(reordered.leave_one_out, process.leave_one_out[order], atol=1e-3)


def test_feature_use_is_high_when_features_explain_the_outputs(process):
    assert process.feature_use > 0.8


def test_feature_use_is_low_when_outputs_have_nothing_to_do_with_the_features(features):
    rng = np.random.default_rng(4)
    uses = [_fit(features, rng.normal(size=(N, 8))).feature_use for _ in range(3)]
    assert np.mean(uses) < 0.35


def test_the_fixed_kernel_does_not_look_at_the_outputs(process, features, outputs):
    other = _fit(features, outputs[::-1].copy())
    np.testing.assert_array_equal(process.fixed_kernel(), other.fixed_kernel())
    assert np.linalg.eigvalsh(process.fixed_kernel()).min() > -1e-9


def test_fingerprints_alone_are_enough():
    rng = np.random.default_rng(5)
    bits = (rng.random((N, 10)) < 0.4).astype(float)
    outputs = bits @ rng.normal(size=(10, 2))
    scaling = FeatureScaling.fit(bits, np.zeros(10, dtype=int))
    process = GaussianProcess(bits, outputs, np.full(N, 0.01), scaling)
    assert np.isfinite(process.predict(bits)[0]).all()


def test_outputs_of_zero_are_predicted_as_zero(features):
    process = _fit(features, np.zeros((N, 2)))
    np.testing.assert_allclose(process.predict(features)[0], 0, atol=1e-12)


def test_fitting_leaves_the_random_state_alone(features, outputs):
    before = torch.get_rng_state()
    _fit(features, outputs)
    assert torch.equal(torch.get_rng_state(), before)


def test_outputs_that_differ_by_rounding_only_keep_a_positive_variance(features):
    rounding = 1e-16 * np.random.default_rng(6).normal(size=(N, 1))
    process = _fit(features, rounding, noise=0.05)
    assert (process.leave_one_out_variance > 1e-12).all()


def test_a_step_that_is_far_too_long_is_survived(features, outputs, monkeypatch):
    optimizer = torch.optim.LBFGS

    def with_long_steps(parameters, **kwargs):
        return optimizer(parameters, **{**kwargs, "lr": 1e5})

    monkeypatch.setattr(torch.optim, "LBFGS", with_long_steps)
    process = _fit(features, outputs)
    assert np.isfinite(process.leave_one_out).all()
    assert np.isfinite(process.predict(features)[0]).all()
