import warnings

import pandas as pd
import pytest

from scgim._messages import check_choice, warn
from scgim.cli import _errors
from scgim.cli._errors import is_user_error, plain_messages
from scgim.evaluation.report._report import ReportTable


def test_mistake_that_scgim_names_becomes_one_message_and_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stopped, plain_messages():
        check_choice("scenario", "tan", ["linear", "tanh"])
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: `scenario='tan'` is not a choice.")
    assert "Traceback" not in captured.err
    assert len(captured.err.splitlines()) == 1


def test_brackets_in_a_message_are_printed_as_they_are(capsys):
    with pytest.raises(SystemExit), plain_messages():
        check_choice("kind", "[bold]", ["a"])
    assert "`kind='[bold]'`" in capsys.readouterr().err


def test_defects_of_other_packages_keep_their_traceback():
    with pytest.raises(ValueError, match="invalid literal"), plain_messages():
        int("text")


def test_compiled_code_that_fails_inside_scgim_keeps_its_traceback():
    table = ReportTable("Title", pd.DataFrame({"a": [1.0]}), digits="x")
    with pytest.raises(ValueError, match="Format specifier"), plain_messages():
        table.rows  # noqa: B018 - formats the numbers


@pytest.mark.parametrize("defect", [ImportError, KeyError, TypeError])
def test_other_kinds_of_errors_pass(defect):
    with pytest.raises(defect), plain_messages():
        raise defect


def test_error_without_traceback_is_not_the_users():
    assert not is_user_error(ValueError("never raised"))


@pytest.mark.filterwarnings("always")
def test_warning_is_one_line_without_code(capsys):
    with plain_messages():
        warn("`dose` is far outside the trained range.")
    assert capsys.readouterr().err == "Warning: `dose` is far outside the trained range.\n"


@pytest.mark.filterwarnings("always")
def test_the_same_warning_is_printed_once(capsys):
    with plain_messages():
        for text in ("First.", "First.", "Second.", "First."):
            warn(text)
    assert capsys.readouterr().err == "Warning: First.\nWarning: Second.\n"
    with plain_messages():
        warn("First.")
    assert capsys.readouterr().err == "Warning: First.\n"


@pytest.mark.parametrize(
    ("category", "filename", "is_shown"),
    [
        (UserWarning, "/site-packages/anndata/utils.py", True),
        (FutureWarning, "/site-packages/anndata/utils.py", False),
        (DeprecationWarning, "/site-packages/torch/x.py", False),
        (UserWarning, "/site-packages/lightning/pytorch/trainer.py", False),
        (FutureWarning, _errors.__file__, True),
    ],
)
def test_only_warnings_about_what_the_user_did_are_shown(category, filename, is_shown):
    assert _errors.concerns_the_user(category, filename) == is_shown


def test_how_warnings_are_shown_is_restored():
    before = warnings.showwarning
    with plain_messages():
        pass
    assert warnings.showwarning is before
