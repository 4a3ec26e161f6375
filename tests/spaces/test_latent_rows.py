import numpy as np

from scgim.scm import InterventionTable
from scgim.spaces._latent_rows import LatentRows, respond


def test_response_is_a_hill_curve_for_rows_of_one_curve():
    table = InterventionTable(1, 2)
    shift, ec50 = np.array([[2.0, -1.0]]), np.array([0.5])
    half = respond(table, 1.3, shift, ec50, np.array([0.5]))
    np.testing.assert_allclose(half, 0.5 * shift)
    np.testing.assert_array_equal(respond(table, 1.3, shift, ec50, np.array([-np.inf])), 0 * shift)
    np.testing.assert_allclose(respond(table, 1.3, shift, ec50, np.array([np.inf])), shift)


def test_rows_are_looked_up_by_name_seen_or_not(model):
    rows = LatentRows.look_up(model.fitted, ["drug_x", "drug_a", "drug_x"], None)
    assert rows.is_seen.tolist() == [False, True, False]
    np.testing.assert_array_equal(rows.shift[0], rows.shift[2])
    assert rows.shift_variance[1] > 0 == rows.shift_variance[0]


def test_free_dose_responses_have_no_slope(make, trained):
    model = trained(make(21), model={"dose_response": "free"})
    rows = LatentRows.look_up(model.fitted, ["drug_a"], None)
    assert np.isnan(rows.hill).all()
    assert model.get_dose_response().attrs == {"ec50": {}, "hill": {}}
