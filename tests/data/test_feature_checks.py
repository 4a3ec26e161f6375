import re

import numpy as np
import pandas as pd
import pytest

from scgim.data._feature_checks import check_new_features


def test_new_features_take_the_columns_of_training_in_their_order():
    registered = pd.DataFrame({"a": [1.0], "b": [2.0]}, index=["old"])
    new = pd.DataFrame({"b": [20.0], "c": [0.0], "a": [10.0]}, index=["new"])
    rows = check_new_features(new, registered, ["new", "old"])
    assert rows.tolist() == [[10.0, 20.0], [1.0, 2.0]]


def test_new_features_lacking_columns_are_named():
    registered = pd.DataFrame({"a": [1.0], "b": [2.0]}, index=["old"])
    message = (
        "`features` lacks 1 of the 2 columns of training: 'b'. Compute them in the same way as for "
        "training."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_new_features(pd.DataFrame({"a": [1.0]}, index=["new"]), registered, ["new"])


def test_new_features_with_missing_values_are_named():
    registered = pd.DataFrame({"a": [1.0]}, index=["old"])
    message = "`features` has 1 missing or infinite values, in the columns 'a' of 'new'. Fill them in, or drop these columns or perturbations."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_new_features(pd.DataFrame({"a": [np.nan]}, index=["new"]), registered, ["new"])


def test_repeated_rows_of_new_features_are_named():
    registered = pd.DataFrame({"a": [1.0]}, index=["old"])
    twice = pd.DataFrame({"a": [2.0, 3.0]}, index=["new", "new"])
    with pytest.raises(ValueError, match="several rows for 'new'"):
        check_new_features(twice, registered, ["new"])


def test_text_in_new_features_is_named():
    registered = pd.DataFrame({"a": [1.0]}, index=["old"])
    text = pd.DataFrame({"a": ["heavy"]}, index=["new"])
    with pytest.raises(ValueError, match="not numbers: 'a'"):
        check_new_features(text, registered, ["new"])
