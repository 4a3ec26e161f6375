import numpy as np
import pytest

from scgim.model._conditions import prepare_conditions, respond
from scgim.scm import InterventionTable


@pytest.fixture
def prepared(model):
    conditions = [
        ("vehicle", 0.0),
        ("drug_a", 1.0),
        ("drug_x+drug_a", 1.0),
        ("drug_c+vehicle", 0.0),
    ]
    return prepare_conditions(model, conditions, None)


def test_each_condition_has_an_entry_per_perturbation_and_none_for_the_control(prepared):
    assert prepared.names == ["drug_a", "drug_a", "drug_x", "drug_c"]
    assert prepared.condition.tolist() == [1, 2, 2, 3]
    assert prepared.is_seen.tolist() == [True, True, False, True]
    assert prepared.obs.is_seen.tolist() == [True, True, False, True]


def test_shifts_add_over_the_entries_and_are_zero_for_control_and_dose_zero(prepared):
    shift = prepared.shift()
    np.testing.assert_array_equal(shift[[0, 3]], 0)
    entries = respond(
        prepared.table,
        prepared.hill,
        prepared.row_shift,
        prepared.row_log10_ec50,
        prepared.log10_dose,
    )
    np.testing.assert_allclose(shift[1], entries[0])
    np.testing.assert_allclose(shift[2], entries[1] + entries[2])


def test_draws_scatter_around_the_mean(prepared):
    draws = prepared.draw_shifts(4000, np.random.default_rng(0))
    assert draws.shape == (4000, 4, 3)
    np.testing.assert_array_equal(draws[:, 0], 0)
    np.testing.assert_allclose(draws.mean(0), prepared.shift(), atol=1e-9)
    assert (draws.std(0)[[1, 2]] > 0).all()


@pytest.mark.parametrize(("p_value", "expected"), [(0.01, [2]), (0.5, [])])
def test_unseen_perturbations_are_uncertain_where_their_features_say_something(
    model, monkeypatch, p_value, expected
):
    monkeypatch.setattr(model.interventions.generator, "p_value", p_value)
    conditions = [("vehicle", 0.0), ("drug_a", 1.0), ("drug_x+drug_a", 1.0)]
    prepared = prepare_conditions(model, conditions, None)
    assert np.flatnonzero(prepared.is_uncertain).tolist() == expected


def test_draws_at_saturation_scatter_by_the_posterior_variance(prepared):
    saturated = prepared.at_saturation()
    draws = saturated.draw_shifts(4000, np.random.default_rng(0))[:, 1]
    np.testing.assert_allclose(draws.var(0), prepared.row_shift_variance[0], rtol=0.15)
    np.testing.assert_allclose(saturated.shift()[1], prepared.row_shift[0], rtol=1e-6)


def test_mechanisms_of_the_most_uncertain_entry_count(prepared):
    assert prepared.condition_n_summands.tolist()[:2] == [1, 1]
    assert prepared.condition_n_summands[2] == max(1, prepared.n_summands[2])


def test_potency_is_that_of_the_table_with_draws_around_it(prepared):
    mean, draws = prepared.log10_ec50(3000, np.random.default_rng(0))
    np.testing.assert_array_equal(mean, prepared.row_log10_ec50)
    expected = np.sqrt(prepared.row_log10_ec50_variance[0])
    assert draws[:, 0].std() == pytest.approx(expected, rel=0.1)


def test_conditions_without_a_single_perturbation_have_no_entries(model):
    prepared = prepare_conditions(model, [("vehicle", 0.0)], None)
    assert prepared.names == []
    np.testing.assert_array_equal(prepared.shift(), np.zeros((1, 3)))
    assert prepared.draw_shifts(5, np.random.default_rng(0)).shape == (5, 1, 3)


def test_response_is_a_hill_curve_for_rows_of_one_curve():
    table = InterventionTable(1, 2)
    shift, ec50 = np.array([[2.0, -1.0]]), np.array([0.5])
    half = respond(table, 1.3, shift, ec50, np.array([0.5]))
    np.testing.assert_allclose(half, 0.5 * shift)
    np.testing.assert_array_equal(respond(table, 1.3, shift, ec50, np.array([-np.inf])), 0 * shift)
    np.testing.assert_allclose(respond(table, 1.3, shift, ec50, np.array([np.inf])), shift)
