import numpy as np

from scgim.scm.generator._strength_curve import fit_strength_curve
from scgim.spaces._measured_shifts import measure_shifts
from scgim.spaces._unseen_effects import learn_unseen_effects


def learn(model):
    measured = measure_shifts(model.fitted.statistics, model.screen)
    curve = fit_strength_curve(
        measured.log10_dose, measured.perturbation, measured.shift, 1 / measured.variance
    )
    return measured, learn_unseen_effects(model.fitted, measured, curve)


def test_left_out_predictions_are_of_each_measured_condition(model):
    measured, (stack, predicted, causal) = learn(model)
    assert predicted.shape == causal.shape == measured.shift.shape
    assert set(stack.weights) == {"near", "far", "unknown"}
    assert np.isfinite(predicted).all()


def test_without_features_unseen_perturbations_rest_on_nothing(plain_model):
    assert learn(plain_model)[1] is None
    assert plain_model.fitted.stack is None


def test_an_unseen_perturbation_is_predicted_as_the_stack_says(model):
    prepared = model._prepare([("drug_x", 10.0)], None)
    fitted = model.fitted
    entries = prepared.distribution
    log10_dose = prepared.log10_dose
    draws = entries.sample(log10_dose, 8, np.random.default_rng(0))
    if not entries.is_uncertain.any():
        draws = entries.mean(log10_dose).map(lambda values: values[None])
    causal = fitted.control_population.expected_shift(draws).double().numpy()
    asked = fitted.stack.predict(
        fitted._similarity(entries.features_of_unseen()),
        log10_dose,
        causal,
        is_far=entries.is_far,
        is_unknown=entries.is_unknown,
    )
    predicted = model.predict_shift([("drug_x", 10.0)]).X
    np.testing.assert_allclose(predicted, asked, atol=0.15)
    assert np.corrcoef(predicted.ravel(), asked.ravel())[0, 1] > 0.95


def test_at_dose_zero_an_unseen_perturbation_is_the_control(model):
    assert not model.fitted.gene_shift(model._prepare([("drug_x", 0.0)], None)).any()
