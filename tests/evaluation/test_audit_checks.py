import pytest

from scgim.evaluation._audit_checks import (
    check_can_be_audited,
    check_decoys,
    check_differing_perturbations,
)


@pytest.mark.parametrize(
    ("unseen", "has_features", "message"),
    [
        (
            ["A"],
            False,
            (
                "The screen has no features of perturbations (`keys.features` is None), so there is "
                "nothing to audit. Name the entry of `adata.uns` that holds them in `ScreenKeys`."
            ),
        ),
        (
            [],
            True,
            (
                "The split holds out no perturbation as a whole: all of its held-out conditions are of "
                "perturbations seen in training, for which features are not needed. Audit on a split "
                'such as `split(adata, "perturbation")`.'
            ),
        ),
        (
            ["A", "B"],
            True,
            (
                "'B' are held out and have no row of features, so no predictor can predict them. Add "
                "the rows."
            ),
        ),
    ],
)
def test_messages_say_what_cannot_be_audited(unseen, has_features, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        check_can_be_audited(unseen, ["A"], has_features=has_features)
    assert str(error.value) == message


def test_unseen_perturbations_with_features_can_be_audited():
    check_can_be_audited(["A"], ["A", "B"], has_features=True)


def test_one_perturbation_has_none_to_differ_from():
    message = (
        "Differences between perturbations need at least two of them, but there is 1. Pass the "
        "conditions of more perturbations."
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        check_differing_perturbations(1)
    assert str(error.value) == message
    check_differing_perturbations(2)


def test_targets_of_other_perturbations_only_are_named():
    message = (
        "`targets` has no row of 'decoy 0'. It has perturbations such as 'A', 'B'. Pass "
        "perturbations of the table that do nothing."
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        check_decoys(0, ["decoy 0"], ["B", "A"])
    assert str(error.value) == message
    check_decoys(3, ["A"], ["A"])
