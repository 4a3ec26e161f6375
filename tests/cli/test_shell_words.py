import re

import pandas as pd
import pytest
from typer.main import get_command

from scgim.cli._app import app
from scgim.cli._errors import plain_messages
from scgim.cli._shell_words import RULES, in_shell_words
from scgim.evaluation._checks import check_split_argument
from scgim.evaluation._splits import check_has_groups, check_split_sizes


@pytest.mark.parametrize(
    ("kind", "argument", "needed", "passed"),
    [
        ("top_dose", "keys.dose", "--dose", "--dose COLUMN"),
        ("context", "context", "--context", "--context COLUMN"),
        ("group", "groups", "--groups", "--groups FILE"),
    ],
)
def test_what_a_split_needs_is_named_as_an_option(kind, argument, needed, passed):
    with pytest.raises(ValueError, match="which was not given") as caught:
        check_split_argument(kind, argument, is_given=False)
    expected = f"`--split {kind}` needs `{needed}`, which was not given. Pass `{passed}`."
    assert in_shell_words(str(caught.value)) == expected


def test_groups_are_a_file():
    with pytest.raises(ValueError, match="no entry") as caught:
        check_has_groups(["A", "B"], pd.Index(["A"]))
    assert in_shell_words(str(caught.value)) == (
        "`--groups` has no row for 'B'. Pass a CSV file with one row per perturbation of the screen, its "
        "name and its group."
    )


def test_a_share_that_is_too_small_or_large_is_an_option():
    with pytest.raises(ValueError, match="holds out no condition") as caught:
        check_split_sizes("combination", n_held_out=0, n_training=3)
    assert in_shell_words(str(caught.value)) == (
        "`--split combination` holds out no condition of this screen. Choose another kind of split, or "
        "raise `--fraction`."
    )


def test_features_are_a_file():
    advice = "or pass its features as `features=`, a DataFrame with one row per perturbation."
    assert in_shell_words(advice) == (
        "or pass its features by `--features`, a CSV file with one row per perturbation."
    )


def test_other_words_stay():
    message = "`kind='[bold]'` is not a choice, and `dose` is far outside the trained range."
    assert in_shell_words(message) == message


def test_every_option_that_is_named_exists():
    options = {
        name
        for command in get_command(app).commands.values()
        for parameter in command.params
        for name in parameter.opts
    }
    named = {name for _, text in RULES for name in re.findall(r"--[a-z-]+", text)}
    assert {"--split", "--dose", "--fraction", "--features"} <= named
    assert named <= options


def test_an_error_in_the_shell_has_these_words(capsys):
    with pytest.raises(SystemExit), plain_messages():
        check_split_argument("context", "context", is_given=False)
    assert capsys.readouterr().err.startswith("Error: `--split context` needs `--context`")
