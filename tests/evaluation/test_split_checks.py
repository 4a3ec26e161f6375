import re

import pytest

from scgim.evaluation import _split_checks as checks


def raises(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_a_fraction_of_one_is_refused():
    with raises("`fraction=1.0` is not a share. Pass a number above 0 and below 1, such as 0.2."):
        checks.check_fraction("fraction", 1.0)


def test_an_argument_that_the_kind_needs_is_named():
    with raises("`kind='group'` needs `groups`, which was not given. Pass `groups=...`."):
        checks.check_split_argument("group", "groups", is_given=False)


def test_a_column_that_is_not_there_is_told_the_closest():
    message = (
        "`context='cellline'` is not a column of `adata.obs`. The columns closest to it are "
        "['cell_line']. Pass one of them."
    )
    with raises(message):
        checks.check_has_column("context", "cellline", ["cell_line", "dose"])


def test_perturbations_without_a_group_are_named():
    message = "`groups` has no entry for 'B'. Pass a Series with one group per perturbation of the screen."
    with raises(message):
        checks.check_has_groups(["A", "B"], {"A"})


def test_a_split_that_holds_out_nothing_is_refused():
    message = (
        "`kind='top_dose'` holds out no condition of this screen. Choose another kind of split, or "
        "raise `fraction`."
    )
    with raises(message):
        checks.check_split_sizes("top_dose", n_held_out=0, n_training=5)


def test_a_split_that_leaves_nothing_to_train_on_is_refused():
    message = (
        "`kind='context'` leaves no treated condition to train on: all 5 are held out. Choose another "
        "kind of split, or lower `fraction`."
    )
    with raises(message):
        checks.check_split_sizes("context", n_held_out=5, n_training=0)


def test_a_split_of_another_screen_is_refused():
    message = (
        "This split holds out 5 conditions, of which `adata` has 3. Use the screen that it was made "
        "for."
    )
    with raises(message):
        checks.check_same_conditions(3, 5)
