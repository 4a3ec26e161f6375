import pytest

from scgim.data import split_combination
from scgim.data._combinations import find_pairs, find_vocabulary, warn_read_labels

NAMES = [
    "A",
    "B",
    "(+)-JQ1",
    "CD8+T cell engager",
    "2i (LIF+MEKi+GSK3i)",
    "IL-2 (10+5 ng/ml)",
    "CD4+",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["{}+B", "B+{}", "{} + B", "B +{}", "{}+ B"])
def test_any_name_joins_with_any_other_in_any_order_and_spacing(name, form):
    parts = split_combination(form.format(name), vocabulary={*NAMES})
    assert parts == tuple(sorted({name, "B"}))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_perturbation_in_its_vocabulary(name):
    assert split_combination(name, vocabulary=set(NAMES)) == (name,)


@pytest.mark.parametrize("label", ["A+C", "CD4+A", "A++B", "+A", "A+", "A+(B+A)"])
def test_a_label_with_a_part_that_nobody_knows_is_one_name(label):
    assert split_combination(label, vocabulary={"A", "B"}) == (label,)


@pytest.mark.parametrize("label", ["2i (LIF+MEKi)", "x [a+b]", "{a + b}", "(A+B)+(A+B)"])
def test_nothing_inside_brackets_joins_even_without_a_vocabulary(label):
    assert split_combination(label) in {(label,), ("(A+B)",)}


def test_a_perturbation_named_twice_counts_once():
    assert split_combination("A+A", vocabulary={"A"}) == ("A",)
    assert split_combination("A+B+A") == ("A", "B")


def test_the_vocabulary_is_what_stands_alone_has_features_or_stands_beside_the_control():
    labels = ["ctrl", "A", "A+B", "C+ctrl", "ctrl+D", "C+D", "CD8+T cell engager", "A+unknown"]
    vocabulary = find_vocabulary(labels, "ctrl", ["B"])
    assert vocabulary == {"ctrl", "A", "B", "C", "D", "CD8+T cell engager", "A+unknown"}


def test_features_of_a_pair_are_no_name_where_its_parts_are_known():
    vocabulary = find_vocabulary(["v", "A", "B", "A+B"], "v", ["A", "B", "B+A", "X+Y"])
    assert find_pairs(["A", "B", "B+A", "X+Y"], vocabulary) == ["B+A"]
    assert "X+Y" in vocabulary


def test_labels_that_could_be_read_in_two_ways_are_warned_of(recwarn):
    vocabulary = find_vocabulary(["v", "A", "B", "A+B", "2i (A+B)"], "v", [])
    warn_read_labels(["v", "A", "B", "A+B", "2i (A+B)"], "v", vocabulary)
    assert not recwarn
    labels = ["v", "A", "A+A", "A+Z", "CD8+T cell"]
    vocabulary = find_vocabulary(labels, "v", [])
    with (
        pytest.warns(UserWarning, match="^'A.A' name a perturbation twice"),
        pytest.warns(UserWarning, match="^'A.Z' have a '.' but are read as one"),
    ):
        warn_read_labels(labels, "v", vocabulary)


def test_a_label_with_many_separators_is_read_at_once():
    label = "+".join(["A"] * 300)
    assert split_combination(label, vocabulary={"A"}) == ("A",)
    assert split_combination(f"{label}+x", vocabulary={"A", "A+A"}) == (f"{label}+x",)
