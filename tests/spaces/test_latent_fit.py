import numpy as np
import pytest

from scgim.spaces._latent_fit import TARGET_SHIFT, log_bayes_factor


def test_evidence_for_a_target_grows_with_the_shift_and_falls_with_its_variance():
    shift, null = np.array([0.0, 1.0, 3.0]), np.full(3, 0.1)
    factor = log_bayes_factor(shift, null)
    assert factor[0] < 0 < factor[2]
    assert (np.diff(factor) > 0).all()
    assert log_bayes_factor(shift, 10 * null)[2] < factor[2]


def test_a_basis_without_near_ties_leaves_no_call_open(model):
    fit = model.fitted
    assert fit.target_ambiguity().shape == (5, 3)
    if not len(fit.gauge["near_ties"]):
        assert not fit.target_ambiguity().any()


def test_without_a_chosen_basis_nothing_is_ambiguous(plain_model):
    fit = plain_model.fitted
    if fit.gauge is None:
        assert not fit.edge_ambiguity().any()


def test_rows_of_the_fit_are_those_that_the_module_predicts_with(model):
    table = model.module.interventions
    assert model.fitted.table is table
    shift = (
        model.fitted.interventions_of(["drug_a"], None).mean(np.array([np.inf])).shift.numpy()[0]
    )
    place = model.screen.table.perturbations.index("drug_a")
    expected = table.saturating_shift[place].detach().numpy()
    assert shift == pytest.approx(expected, rel=1e-5)
    assert TARGET_SHIFT > 0
