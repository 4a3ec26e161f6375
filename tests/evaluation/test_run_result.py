import copy
import io
import json
import pickle

import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table

from scgim.evaluation import RunResult

SCORES = pd.DataFrame({"seed": [0, 1], "value": [0.5, float("nan")]})
FIGURES = pd.DataFrame({"figure": ["R²"], "mean": [0.5]})


@pytest.fixture
def result():
    table = Table("predictor", "R²")
    table.add_row("GIM", "0.500")
    return RunResult(
        scores=SCORES,
        tables={"figures": FIGURES},
        claims=["Nothing is claimed."],
        document={"benchmark": "test", "split": "random", "scores": SCORES},
        shown=[table, "Nothing is claimed."],
    )


def test_tables_are_found_by_name(result):
    assert result.figures() is FIGURES
    assert result.tables["figures"] is FIGURES


def test_a_table_that_was_not_made_is_named_with_those_that_were(result):
    for ask in (result.comparison, lambda: result.audits):
        with pytest.raises(ValueError, match=r"has no table '\w+'. Its tables are \['figures'\]"):
            ask()


def test_tables_and_claims_are_printed_in_order(result):
    output = io.StringIO()
    result.print(Console(file=output, width=80))
    text = output.getvalue()
    assert text.index("GIM") < text.index("0.500") < text.index("Nothing is claimed.")


def test_the_file_has_the_document_with_its_tables_as_rows(result, tmp_path):
    result.write_json(tmp_path / "result.json")
    document = json.loads((tmp_path / "result.json").read_text())
    assert list(document) == ["benchmark", "split", "scores"]
    assert document["scores"] == [{"seed": 0, "value": 0.5}, {"seed": 1, "value": None}]


def test_what_json_cannot_say_is_an_error(tmp_path):
    result = RunResult(scores=SCORES, document={"what": {1, 2}})
    with pytest.raises(TypeError, match="type 'set' cannot be written as JSON"):
        result.write_json(tmp_path / "result.json")


def test_a_figure_is_drawn_where_there_is_one(result, tmp_path):
    drawn = RunResult(scores=SCORES, draw=lambda path: path.write_text("an image"))
    drawn.write_figure(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_text() == "an image"
    result.write_figure(tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_attributes_of_0_1_are_found_with_a_warning(result):
    with pytest.warns(FutureWarning, match=r"is `result.document\['split'\]` since 0.2"):
        assert result.split == "random"


@pytest.mark.filterwarnings("error")
def test_what_a_result_has_not_is_an_attribute_error(result):
    with pytest.raises(AttributeError, match="has no 'figure'; closest to it are \\['figures'"):
        result.figure  # noqa: B018


@pytest.mark.filterwarnings("error")
def test_a_result_can_be_copied_and_pickled(result):
    for again in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        pd.testing.assert_frame_equal(again.scores, SCORES)
        assert again.claims == result.claims
