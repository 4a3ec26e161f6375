import pytest

from scgim.spaces._generator_warnings import (
    warn_if_features_say_nothing,
    warn_if_mechanism_is_unknown,
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
