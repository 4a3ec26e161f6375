import numpy as np
import pandas as pd
import pytest

from scgim.data import PerturbationTable, split_combination


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("A", ("A",)),
        ("A+B", ("A", "B")),
        ("B+A", ("A", "B")),
        ("C + A+B", ("A", "B", "C")),
        ("(+)-JQ1", ("(+)-JQ1",)),
        ("CD4+", ("CD4+",)),
        ("(+)-JQ1+A", ("(+)-JQ1", "A")),
        ("A+(+)-JQ1", ("(+)-JQ1", "A")),
        ("Na+/K+ inhibitor", ("Na+/K+ inhibitor",)),
        ("CD4++", ("CD4++",)),
        ("naïf+Čech", ("naïf", "Čech")),
    ],
)
def test_labels_are_split_at_separators_only(label, parts):
    assert split_combination(label) == parts


def test_a_known_name_is_one_perturbation_whatever_is_in_it():
    assert split_combination("A+B", known={"A+B"}) == ("A+B",)


@pytest.fixture
def features():
    return pd.DataFrame(np.eye(4), index=["A", "B", "C", "unseen"], columns=list("wxyz"))


@pytest.fixture
def table(features):
    labels = ["control", "B", "A+B", "A+control", "C+A+B"]
    return PerturbationTable.from_labels(labels, "control", features)


def test_rows_of_the_table_are_the_single_perturbations_in_order(table):
    assert table.perturbations == ("A", "B", "C")
    assert table.control_code == 0


def test_components_point_at_the_rows_of_each_label(table):
    assert table.components.tolist() == [
        [-1, -1, -1],
        [1, -1, -1],
        [0, 1, -1],
        [0, -1, -1],
        [0, 1, 2],
    ]


def test_parts_of_any_label_are_named_seen_or_not(table):
    assert table.parts_of("unseen+A") == ("A", "unseen")
    assert table.parts_of("B+control") == ("B",)
    assert table.parts_of("control") == ()


def test_names_of_features_are_not_split():
    features = pd.DataFrame({"f": [1.0, 2.0]}, index=["A+B", "C"])
    table = PerturbationTable.from_labels(["v", "A+B", "C"], "v", features)
    assert table.perturbations == ("A+B", "C")
    assert table.parts_of("A+B") == ("A+B",)


def test_a_control_with_a_separator_in_its_name_stays_one_label():
    table = PerturbationTable.from_labels(["DMSO+PBS", "A"], "DMSO+PBS", None)
    assert table.perturbations == ("A",)
    assert table.components.tolist() == [[-1], [0]]


@pytest.mark.parametrize("has_features", [True, False])
def test_table_comes_back_from_the_registry(table, features, has_features):
    if not has_features:
        table = PerturbationTable.from_labels(table.labels, "control", None)
    back = PerturbationTable.from_registry(table.labels, table.to_registry())
    assert back.perturbations == table.perturbations
    np.testing.assert_array_equal(back.components, table.components)
    if has_features:
        pd.testing.assert_frame_equal(back.features, features, check_index_type=False)
    else:
        assert back.features is None


def test_registry_holds_plain_lists_and_arrays(table):
    kinds = {type(value) for value in table.to_registry().values()}
    assert kinds <= {str, list, np.ndarray}
