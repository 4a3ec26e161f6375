import numpy as np

from scgim.scm import InterventionTable
from scgim.scm.generator._dense_interventions import respond


def test_response_is_a_hill_curve_for_shifts_of_one_curve():
    table = InterventionTable(1, 2)
    shift, ec50 = np.array([[2.0, -1.0]]), np.array([0.5])
    half = respond(table, 1.3, shift, ec50, np.array([0.5]))
    np.testing.assert_allclose(half, 0.5 * shift)
    np.testing.assert_array_equal(respond(table, 1.3, shift, ec50, np.array([-np.inf])), 0 * shift)
    np.testing.assert_allclose(respond(table, 1.3, shift, ec50, np.array([np.inf])), shift)


def test_interventions_are_looked_up_by_name_seen_or_not(model):
    dense = model.fitted.interventions_of(["drug_x", "drug_a", "drug_x"], None)
    assert dense.is_seen.tolist() == [False, True, False]
    np.testing.assert_array_equal(dense.shift[0], dense.shift[2])
    assert dense.shift_variance[1] > 0 == dense.shift_variance[0]


def test_free_dose_responses_have_no_slope(make, trained):
    model = trained(make(21), model={"dose_response": "free"})
    dense = model.fitted.interventions_of(["drug_a"], None)
    assert np.isnan(dense.hill).all()
    assert model.get_dose_response().attrs == {"ec50": {}, "hill": {}}


def test_entries_are_picked_in_any_order(model):
    dense = model.fitted.interventions_of(["drug_a", "drug_x"], None)
    picked = dense.take(np.array([1, 0, 1]))
    np.testing.assert_array_equal(picked.shift, dense.shift[[1, 0, 1]])
    assert picked.is_seen.tolist() == [False, True, False]


def test_samples_have_the_mean(model):
    dense = model.fitted.interventions_of(["drug_a", "drug_x"], None)
    drawn = dense.sample(np.zeros(2), 50, np.random.default_rng(0)).shift
    np.testing.assert_allclose(drawn.mean(0), dense.mean(np.zeros(2)).shift, atol=1e-9)
