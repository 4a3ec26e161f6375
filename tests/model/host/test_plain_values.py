import pickle

import numpy as np
import pandas as pd
import pytest

from scgim.model.host._plain_values import from_plain, to_plain


def test_no_pandas_object_is_left():
    value = {
        "frame": pd.DataFrame({"loss": [1.0]}, index=pd.Index(["a"], name="epoch")),
        "index": [pd.Index(["a", "b"])],
        "series": (pd.Series([1, 2]),),
        "categories": pd.Categorical(["x"]).categories.array,
    }
    assert b"pandas" not in pickle.dumps(to_plain(value))


def test_frames_come_back_as_they_were():
    frame = pd.DataFrame({"loss": [2.0, 1.0]}, index=pd.Index([0, 1], name="epoch"))
    back = from_plain(to_plain({"history_": [frame]}))["history_"][0]
    pd.testing.assert_frame_equal(back, frame)


@pytest.mark.parametrize("value", [None, "a", 1, 2.5, (1, [2])])
def test_plain_values_stay(value):
    assert from_plain(to_plain(value)) == value


def test_text_becomes_an_array_of_python_strings():
    array = to_plain(pd.Index(["a", "b"]))
    assert array.dtype == object
    np.testing.assert_array_equal(array, ["a", "b"])
