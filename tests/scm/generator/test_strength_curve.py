import numpy as np
import pytest

from scgim.scm.generator._strength_curve import StrengthCurve, fit_strength_curve, pool_shifts


def screen(rng, strength=(0.1, 0.3, 0.8, 1.0), n=20, n_genes=300, noise=1.0):
    dose = np.tile(np.arange(4.0), n)
    group = np.repeat(np.arange(n), 4)
    effect = rng.normal(size=(n, n_genes))
    shift = np.array(strength)[dose.astype(int)][:, None] * effect[group]
    shift += rng.normal(0, noise, shift.shape)
    return dose, group, shift, np.full_like(shift, 1 / noise**2), effect


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_the_curve_is_found_in_noise(noise):
    dose, group, shift, precision, _ = screen(np.random.default_rng(0), noise=noise)
    curve = fit_strength_curve(dose, group, shift, precision)
    np.testing.assert_allclose(curve.strength, [0.1, 0.3, 0.8, 1.0], atol=0.05)


def test_strength_is_zero_at_dose_zero_and_never_falls():
    curve = StrengthCurve(np.array([0.0, 1.0]), np.array([0.4, 1.0]))
    doses = np.array([-np.inf, -1.0, 0.0, 0.5, 1.0, 3.0, np.inf])
    np.testing.assert_allclose(curve.at(doses), [0, 0.04, 0.4, 0.7, 1, 1, 1])


def test_without_doses_everything_is_at_full_strength_except_the_control():
    rng = np.random.default_rng(0)
    infinite = np.full(6, np.inf)
    curve = fit_strength_curve(infinite, np.arange(6), rng.normal(size=(6, 5)), np.ones((6, 5)))
    np.testing.assert_array_equal(curve.at(np.array([-np.inf, 0.0, np.inf])), [0, 1, 1])


def test_noise_alone_has_a_flat_curve_or_a_valid_one():
    rng = np.random.default_rng(1)
    dose, group = np.tile(np.arange(3.0), 10), np.repeat(np.arange(10), 3)
    curve = fit_strength_curve(dose, group, rng.normal(size=(30, 40)), np.ones((30, 40)))
    assert ((curve.strength >= 0) & (curve.strength <= 1)).all()
    assert (np.diff(curve.strength) >= 0).all()


def test_pooling_is_least_squares():
    rng = np.random.default_rng(2)
    shift, precision, strength = rng.normal(size=(4, 1)), rng.random((4, 1)) + 0.5, rng.random(4)
    effect, variance = pool_shifts(strength, np.zeros(4, int), shift, precision)
    root = np.sqrt(precision)
    expected = np.linalg.lstsq(strength[:, None] * root, shift * root, rcond=None)[0]
    np.testing.assert_allclose(effect, expected)
    np.testing.assert_allclose(variance, 1 / (strength[:, None] ** 2 * precision).sum(0)[None])


def test_a_perturbation_without_strength_has_no_effect_and_no_certainty():
    effect, variance = pool_shifts(
        np.array([0.0, 1.0]), np.array([0, 1]), np.ones((2, 3)), np.ones((2, 3))
    )
    np.testing.assert_array_equal(effect[0], 0)
    assert np.isinf(variance[0]).all()
