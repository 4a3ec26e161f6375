import re

import pytest

from scgim.model._pooled_shift import check_can_pool

SAME = {"genes": ["a", "b"], "likelihood": "nb"}


def raises(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_trainings_of_one_screen_can_be_pooled():
    check_can_pool([SAME, dict(SAME)])


def test_nothing_to_pool_is_refused():
    with raises("`models` is empty. Pass at least one trained model, and better three or more."):
        check_can_pool([])


def test_what_differs_is_named():
    message = (
        "`models[2]` differs from `models[0]` in its genes and likelihood, so their predictions are not "
        "of the same thing. Pass trainings of one screen that differ in their seed only."
    )
    with raises(message):
        check_can_pool([SAME, SAME, {"genes": ["b", "a"], "likelihood": "normal"}])
