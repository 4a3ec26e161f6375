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


NAMES = ["NA", "None", "null", "nan", "NaN", "N/A", "", "-inf", "TRUE", "007", "#N/A"]


@pytest.mark.parametrize("name", [name for name in NAMES if name])
def test_a_name_that_pandas_takes_for_a_missing_value_is_a_name(write, name):
    conditions = read_conditions(write(f"drug,dose\n{name},1\nB,\n"), "drug")
    assert conditions["drug"].tolist() == [name, "B"]
    assert conditions["dose"].isna().tolist() == [False, True]
    assert list(read_features(write(f"drug,mass\n{name},1\n")).index) == [name]
    assert dict(read_groups(write(f"drug,class\n{name},x\n"))) == {name: "x"}


def test_a_row_without_a_name_is_refused(write):
    for read in (lambda path: read_conditions(path, "drug"), read_features, read_groups):
        with pytest.raises(ValueError, match="has no name in row 3"):
            read(write("drug,dose\nA,1\n,2\n"))


def test_batches_and_covariates_are_text(write):
    conditions = read_conditions(
        write("drug,lane,donor\nA,01,NA\nB,,x\n"), "drug", ["lane", "donor"]
    )
    assert conditions["lane"].tolist()[0] == "01"
    assert conditions["donor"].tolist() == ["NA", "x"]
    assert conditions["lane"].isna().tolist() == [False, True]
