import numpy as np

from scgim.evaluation._reliability import compute_reliability


def test_reliability_compares_called_with_true():
    called = np.array([0.05, 0.05, 0.95, 0.95, 1.0])
    table = compute_reliability([(called, np.array([False, False, True, True, False]))])
    assert table["n"].tolist() == [2, 3]
    np.testing.assert_allclose(table["share"], [0.0, 2 / 3])
    np.testing.assert_allclose(table["probability"], [0.05, 2.9 / 3])


def test_without_any_call_the_table_is_empty():
    assert compute_reliability([]).empty
