import re

import pytest

from scgim.spaces._generator_warnings import (
    warn_if_features_say_nothing,
    warn_if_mechanism_is_unknown,
    warn_if_targets_are_guessed,
)


def test_features_that_say_nothing_are_warned_about():
    with pytest.warns(UserWarning, match=r"'new'.*no effect.*permutation p = 0\.4"):
        warn_if_features_say_nothing(["new"], 0.4, is_informative=False)


def test_features_that_say_something_are_not(recwarn):
    warn_if_features_say_nothing(["new"], 0.01, is_informative=True)
    assert not recwarn


def test_unknown_mechanisms_are_warned_about():
    with pytest.warns(UserWarning, match="unlike those of every seen perturbation"):
        warn_if_mechanism_is_unknown(["new"])


def test_known_mechanisms_are_not(recwarn):
    warn_if_mechanism_is_unknown([])
    assert not recwarn


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


def test_with_a_population_unseen_perturbations_are_said_to_do_what_others_do():
    with pytest.warns(
        UserWarning, match="predicted to do what other perturbations do at their dose"
    ):
        warn_if_features_say_nothing(["new"], 0.4, is_informative=False, has_population=True)
    with pytest.warns(
        UserWarning, match="predicted to do what other perturbations do at their dose"
    ):
        warn_if_mechanism_is_unknown(["new"], has_population=True)
