import pandas as pd
import pytest

from scgim.evaluation.report._csv import mark_text, unmark_text, write_csv

FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\tx",
    '=HYPERLINK("http://x")',
]


@pytest.fixture
def table():
    names = [*FORMULAS, "(+)-JQ1"]
    return pd.DataFrame({"=drug": names, "effect": range(-4, 3)}, index=pd.Index(names, name="@id"))


def test_no_cell_of_a_file_starts_as_a_formula(table, tmp_path):
    write_csv(table, tmp_path / "t.csv")
    read = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    text = [*read.columns, *read["'@id"], *read["'=drug"]]
    assert not [cell for cell in text if cell[0] in "=+-@\t\r"]


def test_a_carriage_return_starts_no_row(tmp_path):
    write_csv(pd.DataFrame({"drug": ["a\r=1+1"]}), tmp_path / "t.csv", index=False)
    assert (tmp_path / "t.csv").read_text() == "drug\na =1+1\n"


def test_numbers_are_written_as_they_are(table, tmp_path):
    write_csv(table, tmp_path / "t.csv", index=False)
    assert pd.read_csv(tmp_path / "t.csv")["effect"].tolist() == list(range(-4, 3))


def test_a_table_is_not_changed(table, tmp_path):
    before = table.copy()
    write_csv(table, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("text", [*FORMULAS, "plain", "'quoted'", "", 3.0, None])
def test_marks_can_be_undone(text):
    assert unmark_text(mark_text(text)) == text


def test_text_that_only_begins_with_an_apostrophe_stays():
    assert unmark_text("'n Sync") == "'n Sync"
