import re

import numpy as np
import pandas as pd
import pytest

from scgim.data._feature_checks import check_new_features
from scgim.spaces._generator_warnings import (
    warn_if_features_say_nothing,
    warn_if_mechanism_is_unknown,
)
from scgim.spaces._genes_space import warn_if_targets_are_guessed


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


def test_a_prediction_from_useless_features_is_called_a_default():
    message = (
        "Unseen perturbations 'drug_x', 'drug_y' are predicted to have no effect, because the "
        "features of the seen ones cannot be told from shuffled ones (permutation p = 0.43). This "
        "is a default and no finding. Give features that say more about mechanisms, and see "
        "`GIM.get_generator_report`."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        warn_if_features_say_nothing(["drug_x", "drug_y"], 0.43, is_informative=False)


def test_a_prediction_from_useful_features_is_not_warned_of(recwarn):
    warn_if_features_say_nothing(["drug_x"], 0.01, is_informative=True)
    assert not recwarn.list


def test_perturbations_of_an_unknown_mechanism_are_named_in_a_warning():
    with pytest.warns(UserWarning, match=r"drug_x") as caught:
        warn_if_mechanism_is_unknown(["drug_x"])
    assert str(caught[0].message) == (
        "Unseen perturbations 'drug_x' are predicted to have no effect, because their features are unlike "
        "those of every seen perturbation and of every sum of known mechanisms. This is a default and no "
        "finding; intervals are as wide as the effects of seen perturbations. Leave them out with "
        "`GIM.predict(..., abstain=True)`, or run one of their kind."
    )
    warn_if_mechanism_is_unknown([])


def test_targets_from_features_that_say_nothing_are_a_warning():
    message = (
        "Targets of the unseen perturbations 'x', 'y' are little more than the rate at which each "
        "gene is a target, because the features of the seen ones cannot be told from shuffled ones "
        "(permutation p = 0.4). Give features that say more about mechanisms, and see "
        "`GIM.get_generator_report`."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        warn_if_targets_are_guessed(["x", "y"], 0.4, 0.05)


def test_informative_features_are_no_warning(recwarn):
    warn_if_targets_are_guessed(["x"], 0.05, 0.05)
    assert not recwarn.list
