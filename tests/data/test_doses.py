import numpy as np
import pandas as pd
import pytest

from scgim.data._doses import distinct_doses, is_outside, read_doses, snap_doses

WRITTEN = np.array([0.0, 1e-13, 0.07, 0.1, 1 / 3, 7.0, 1e6])


@pytest.mark.parametrize("dtype", ["float32", "float64", "Float32", "Float64"])
def test_a_dose_is_the_same_in_every_type(dtype):
    found = read_doses(pd.Series(WRITTEN).astype(dtype))
    np.testing.assert_allclose(found, WRITTEN, rtol=1e-7, atol=0)
    decimals = [0, 1, 2, 3, 5, 6]
    np.testing.assert_array_equal(found[decimals], WRITTEN[decimals])


def test_whole_numbers_are_read_as_they_are():
    np.testing.assert_array_equal(read_doses(pd.Series([1, 0], dtype="Int64")), [1.0, 0.0])


def test_doses_within_a_relative_1e_6_are_one_dose_and_others_are_two():
    np.testing.assert_array_equal(read_doses(np.array([3.0, 3.0 * (1 + 5e-7)])), [3.0, 3.0])
    np.testing.assert_array_equal(
        distinct_doses(np.array([3.0, 3.00001, 0.0])), [0.0, 3.0, 3.00001]
    )
    np.testing.assert_array_equal(
        distinct_doses(np.array([1e-13, 0.0, 2e-13])), [0.0, 1e-13, 2e-13]
    )


def test_doses_snap_to_known_ones_and_stay_where_there_is_none():
    known = np.array([0.0, 0.1, 10.0])
    asked = np.array([0.1 + 1e-9, 5.0, 10.0 - 1e-6, 0.0, 1e-13, np.nan])
    np.testing.assert_array_equal(snap_doses(asked, known), [0.1, 5.0, 10.0, 0.0, 1e-13, np.nan])
    np.testing.assert_array_equal(snap_doses(asked[:2], known[:0]), asked[:2])


def test_the_ends_of_a_range_are_inside_whatever_their_rounding():
    low, high = np.full(4, np.float64(np.float32(0.07))), np.full(4, 7.0)
    doses = np.array([0.07, 7.0 + 1e-7, 0.069, 7.1])
    np.testing.assert_array_equal(is_outside(doses, low, high), [False, False, True, True])


def test_reading_changes_nothing():
    given = pd.Series(WRITTEN)
    read_doses(given)[0] = 5.0
    np.testing.assert_array_equal(given, WRITTEN)
