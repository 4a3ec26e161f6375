import re

import pandas as pd
import pytest

from scgim.pl._tables import check_known, check_square, check_table, pick, to_matrix


def test_a_model_instead_of_a_table_is_named_in_the_error():
    message = (
        "`targets` is a object, but figures are drawn from a DataFrame. Pass the table that "
        "`GIM.get_intervention_targets` returns."
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        check_table(object(), [], name="targets", source="GIM.get_intervention_targets")


def test_missing_column_is_named_beside_the_columns_found(targets):
    with pytest.raises(ValueError, match=r"no column \['dose'\]; its columns are \['perturbation'"):
        check_table(targets, ["node", "dose"], name="response", source="GIM.get_dose_response")


def test_empty_table_is_refused(targets):
    with pytest.raises(ValueError, match="`targets` has no rows"):
        check_table(targets.iloc[:0], ["node"], name="targets", source="x")


def test_unknown_name_gets_the_closest_known_one():
    with pytest.raises(ValueError, match=r"`nodes` contains 'program_x'.*\['program_1'"):
        check_known(["program_x"], ["program_1", "other"], name="nodes")


def test_pick_keeps_the_rows_asked_for(targets):
    picked = pick(targets, ["A", "B"], ["z"])
    assert list(zip(picked["perturbation"], picked["node"], strict=True)) == [
        ("A", "z"),
        ("B", "z"),
    ]


def test_matrix_keeps_the_order_of_the_table(targets):
    matrix = to_matrix(targets.iloc[::-1], "effect", name="targets")
    assert list(matrix.index) == ["C", "B", "A"]
    assert list(matrix.columns) == ["z", "y", "x"]
    assert matrix.loc["B", "y"] == -3.0


def test_two_rows_for_one_cell_are_refused(targets):
    with pytest.raises(ValueError, match="several rows for perturbation 'A' and node 'x'"):
        to_matrix(pd.concat([targets, targets.iloc[:1]]), "effect", name="targets")


def test_incomplete_table_is_refused(targets):
    with pytest.raises(ValueError, match="lacks 'effect' for some perturbation and node"):
        to_matrix(targets.iloc[1:], "effect", name="targets")


def test_adjacency_must_be_square_and_finite(chain):
    with pytest.raises(TypeError, match=r"`adjacency` is a ndarray, expected a DataFrame"):
        check_square(chain.to_numpy())
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        check_square(chain.iloc[:2])
    with pytest.raises(ValueError, match="NaN or infinite"):
        check_square(chain.replace(1.0, float("nan")))
