import numpy as np
import pytest

from scgim.scm.generator._effect_kernel import EffectKernel, compare_features
from scgim.scm.generator._effect_stack import EffectStack, fit_effect_stack
from scgim.scm.generator._perturbation_features import FeatureScaling
from scgim.scm.generator._stack_loss import CAUSAL, KERNEL, POPULATION, MeasuredEffects
from scgim.scm.generator._strength_curve import fit_strength_curve

N, GENES, DOSES = 24, 60, np.array([0.0, 1.0, 2.0])


def make(rng, *, common=1.0, from_features=0.0, own=0.3, noise=0.3):
    x = rng.normal(size=(N, 4))
    effect = common * rng.normal(size=GENES) + from_features * x @ rng.normal(size=(4, GENES))
    effect = effect + own * rng.normal(size=(N, GENES))
    of_row, dose = np.repeat(np.arange(N), 3), np.tile(DOSES, N)
    strength = np.array([0.2, 0.6, 1.0])[dose.astype(int)][:, None]
    shift = strength * effect[of_row] + rng.normal(0, noise, (3 * N, GENES))
    measured = MeasuredEffects(of_row, dose, shift, np.full(shift.shape, noise**2))
    return measured, x


def fit(measured, x, causal=None):
    scaling = FeatureScaling.fit(x, np.zeros(x.shape[1], int))
    causal = np.zeros_like(measured.shift) if causal is None else causal
    curve = fit_strength_curve(
        measured.log10_dose, measured.perturbation, measured.shift, 1 / measured.variance
    )
    return *fit_effect_stack(measured, EffectKernel.of(x, scaling), causal, curve), scaling


def predict(stack, x, new, scaling, dose, causal=None, *, far=False, unknown=False):
    n = len(new)
    causal = np.zeros((n, GENES)) if causal is None else causal
    flags = {"is_far": np.full(n, far), "is_unknown": np.full(n, unknown)}
    return stack.predict(compare_features(new, x, scaling), np.full(n, dose), causal, **flags)


def test_dose_zero_is_no_effect():
    measured, x = make(np.random.default_rng(0), from_features=0.5)
    stack, _, scaling = fit(measured, x)
    assert not predict(stack, x, x[:3] + 0.1, scaling, -np.inf).any()


def test_what_all_perturbations_share_is_predicted_of_an_unseen_one():
    measured, x = make(np.random.default_rng(1), common=1.0, own=0.2)
    stack, left_out, scaling = fit(measured, x)
    assert stack.left_out_r2[POPULATION] > 0.8
    top = measured.shift[measured.log10_dose == 2.0].mean(0)
    predicted = predict(stack, x, np.zeros((1, 4)), scaling, 2.0)[0]
    assert np.corrcoef(predicted, top)[0, 1] > 0.98
    assert np.square(measured.shift - left_out).mean() < 0.5 * np.square(measured.shift).mean()


def test_features_move_it_from_there_where_they_say_something():
    measured, x = make(np.random.default_rng(2), common=0.5, from_features=0.8, own=0.1)
    stack, _, _ = fit(measured, x)
    assert stack.weights["near"][KERNEL] > 0.5
    assert stack.left_out_r2["used"] > stack.left_out_r2[POPULATION] + 0.2


def test_effects_that_nothing_predicts_are_predicted_as_none():
    measured, x = make(np.random.default_rng(3), common=0.0, own=1.0)
    stack, _, _ = fit(measured, x)
    assert sum(stack.weights["near"].values()) < 0.4
    assert stack.left_out_r2["used"] > -0.02


def test_a_causal_prediction_that_is_right_gets_the_weight():
    rng = np.random.default_rng(4)
    measured, x = make(rng, common=1.0, own=1.0, noise=0.1)
    truth = measured.shift + rng.normal(0, 0.2, measured.shift.shape)
    stack, _, scaling = fit(measured, x, causal=truth)
    assert stack.weights["near"][CAUSAL] > 0.9
    new = rng.normal(size=(2, GENES))
    predicted = predict(stack, x, x[:2], scaling, 1.0, causal=new)
    assert np.corrcoef(predicted.ravel(), new.ravel())[0, 1] > 0.95


def test_relabelling_perturbations_changes_nothing():
    measured, x = make(np.random.default_rng(5), from_features=0.5)
    order = np.random.default_rng(6).permutation(N)
    again = MeasuredEffects(
        order[measured.perturbation], measured.log10_dose, measured.shift, measured.variance
    )
    relabelled = np.empty_like(x)
    relabelled[order] = x
    one, other = fit(measured, x)[1], fit(again, relabelled)[1]
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_where_the_mechanism_is_unknown_only_the_population_speaks():
    measured, x = make(np.random.default_rng(7), from_features=0.5)
    stack, _, scaling = fit(measured, x)
    assert list(stack.weights["unknown"]) == [POPULATION]
    one, other = (predict(stack, x, new, scaling, 1.0, unknown=True) for new in (x[:1], x[1:2]))
    np.testing.assert_array_equal(one, other)


def test_doses_between_those_of_the_screen_are_between_them():
    measured, x = make(np.random.default_rng(8))
    stack, _, scaling = fit(measured, x)
    low, middle, high = (
        predict(stack, x, np.zeros((1, 4)), scaling, dose) for dose in (1.0, 1.5, 2.0)
    )
    np.testing.assert_allclose(middle, (low + high) / 2, atol=1e-5)


def test_three_perturbations_are_no_population():
    measured, _ = make(np.random.default_rng(9))
    few = measured.perturbation < 3
    parts = (measured.perturbation, measured.log10_dose, measured.shift, measured.variance)
    kernel = EffectKernel(np.eye(3))
    curve = fit_strength_curve(parts[1][few], parts[0][few], parts[2][few], 1 / parts[3][few])
    small = MeasuredEffects(*(part[few] for part in parts))
    assert fit_effect_stack(small, kernel, np.zeros_like(small.shift), curve) is None


@pytest.mark.parametrize("seed", range(3))
def test_the_sum_is_not_worse_than_its_best_member(seed):
    measured, x = make(np.random.default_rng(seed), common=0.3, from_features=0.2, own=0.5)
    stack, _, _ = fit(measured, x)
    members = {k: v for k, v in stack.left_out_r2.items() if k != "used"}
    assert stack.left_out_r2["used"] > max(0.0, *members.values()) - 0.02


def test_a_stack_comes_back_from_its_plain_values():
    measured, x = make(np.random.default_rng(10), from_features=0.5)
    stack, _, scaling = fit(measured, x)
    again = EffectStack.from_dict(stack.to_dict())
    one, other = (predict(s, x, x[:2] + 0.1, scaling, 1.0) for s in (stack, again))
    np.testing.assert_array_equal(one, other)
