import re

import pytest

from scgim.cli._tables_from_files import read_conditions, read_features, read_groups


@pytest.fixture
def write(tmp_path):
    def write_text(text):
        path = tmp_path / "table.csv"
        path.write_text(text)
        return path

    return write_text


def test_first_column_names_the_perturbation_even_if_it_is_a_number(write):
    features = read_features(write("drug,a,b\n007,1,2\nB,3,4.5\n"))
    assert list(features.index) == ["007", "B"]
    assert features["b"].tolist() == [2.0, 4.5]


def test_feature_that_is_text_is_named(write):
    with pytest.raises(
        ValueError, match=r"has columns that are not numbers: \['b'\]\. Expected one row"
    ):
        read_features(write("drug,a,b\nA,1,x\n"))


def test_features_without_columns_are_refused(write):
    with pytest.raises(ValueError, match="has no features"):
        read_features(write("drug\nA\n"))


def test_conditions_keep_names_as_text_and_doses_as_numbers(write):
    conditions = read_conditions(write("drug,dose\n1,0.5\nB,2\n"), "drug")
    assert conditions["drug"].tolist() == ["1", "B"]
    assert conditions["dose"].tolist() == [0.5, 2.0]


def test_conditions_without_the_perturbation_column_say_what_was_found(write):
    with pytest.raises(ValueError, match=r"has the columns \['name', 'dose'\].*a column 'drug'"):
        read_conditions(write("name,dose\nA,1\n"), "drug")


@pytest.mark.parametrize("text", ["", "a,b\n1,2,3\n4\n5,6,7,8\n"])
def test_file_that_is_no_table_is_named(write, text):
    with pytest.raises(ValueError, match=r"table\.csv cannot be read as a CSV file.*UTF-8"):
        read_conditions(write(text), "drug")


def test_groups_are_text_by_perturbation(write):
    groups = read_groups(write("drug,scaffold\n007,1\nB,c1ccccc1\n"))
    assert groups.to_dict() == {"007": "1", "B": "c1ccccc1"}
    assert groups.name == "scaffold"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("drug,a\nA,\n", "empty cells"),
        ("drug,a,b\nA,1,2\n", "1 rows and the group columns ['a', 'b']"),
    ],
)
def test_groups_that_are_not_two_columns_are_refused(write, text, found):
    path = write(text)
    message = (
        f"`--groups {path}` has {found}. Expected one row per perturbation, its name in the first "
        "column and its group in the second. Correct the file."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_groups(path)
