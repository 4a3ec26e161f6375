import numpy as np
import pytest

from scgim.model._conditions import prepare_conditions


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
    assert prepared.distribution.is_seen.tolist() == [True, True, False, True]
    assert prepared.obs.is_seen.tolist() == [True, True, False, True]


def test_shifts_add_over_the_entries_and_are_zero_for_control_and_dose_zero(prepared):
    shift = prepared.intervention().shift.numpy()
    np.testing.assert_array_equal(shift[[0, 3]], 0)
    entries = prepared.distribution.mean(prepared.log10_dose).shift.numpy()
    np.testing.assert_allclose(shift[1], entries[0])
    np.testing.assert_allclose(shift[2], entries[1] + entries[2])


def test_draws_scatter_around_the_mean(prepared):
    draws = prepared.draw(4000, np.random.default_rng(0)).shift.numpy()
    assert draws.shape == (4000, 4, 3)
    np.testing.assert_array_equal(draws[:, 0], 0)
    np.testing.assert_allclose(draws.mean(0), prepared.intervention().shift, atol=1e-9)
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
    draws = saturated.draw(4000, np.random.default_rng(0)).shift.numpy()[:, 1]
    np.testing.assert_allclose(draws.var(0), prepared.distribution.shift_variance[0], rtol=0.15)
    np.testing.assert_allclose(
        saturated.intervention().shift[1], prepared.distribution.shift[0], rtol=1e-6
    )


def test_mechanisms_of_the_most_uncertain_entry_count(prepared):
    assert prepared.condition_n_summands.tolist()[:2] == [1, 1]
    assert prepared.condition_n_summands[2] == max(1, prepared.distribution.n_summands[2])


def test_ec50_is_that_of_the_table_with_draws_around_it(prepared):
    draws = prepared.distribution.sample_log10_ec50(3000, np.random.default_rng(0))
    np.testing.assert_allclose(draws.mean(0), prepared.distribution.log10_ec50, atol=0.1)
    expected = np.sqrt(prepared.distribution.log10_ec50_variance[0])
    assert draws[:, 0].std() == pytest.approx(expected, rel=0.1)


def test_conditions_without_a_single_perturbation_have_no_entries(model):
    prepared = prepare_conditions(model, [("vehicle", 0.0)], None)
    assert prepared.names == []
    np.testing.assert_array_equal(prepared.intervention().shift, np.zeros((1, 3)))
    assert prepared.draw(5, np.random.default_rng(0)).shift.shape == (5, 1, 3)
