import numpy as np
import pandas as pd
import pytest

from scgim.pl import predicted_vs_observed


@pytest.fixture
def observed():
    return pd.DataFrame([[1.0, 0.0], [0.0, 2.0]], index=["a", "b"], columns=["g1", "g2"])


def _labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_r_squared_counts_from_no_effect(observed):
    assert _labels(predicted_vs_observed(observed, observed)) == ["R² = 1.000"]
    assert _labels(predicted_vs_observed(observed * 0, observed)) == ["R² = 0.000"]
    assert _labels(predicted_vs_observed(-observed, observed)) == ["R² = -3.000"]


def test_rows_and_columns_are_matched_by_name(observed):
    shuffled = observed.iloc[::-1, ::-1]
    assert _labels(predicted_vs_observed(shuffled, observed)) == ["R² = 1.000"]


def test_each_group_has_its_own_r_squared_and_marker(observed):
    predicted = observed * np.array([[1.0], [0.0]])
    groups = pd.Series({"b": "unseen_drug", "a": "top_dose"})
    ax = predicted_vs_observed(predicted, observed, groups=groups)
    assert _labels(ax) == ["top_dose  R² = 1.000", "unseen_drug  R² = 0.000"]
    first, second = (item.get_paths()[0].vertices.shape for item in ax.collections)
    assert first != second


def test_a_small_group_lies_on_top_of_a_large_one(observed):
    table = pd.concat([observed, observed.set_axis(["c", "d"])])
    groups = pd.Series({"a": "few", "b": "many", "c": "many", "d": "many"})
    few, many = predicted_vs_observed(table, table, groups=groups).collections
    assert few.get_zorder() > many.get_zorder()


def test_points_are_observed_across_and_predicted_up(observed):
    ax = predicted_vs_observed(observed * 0.5, observed)
    np.testing.assert_allclose(
        ax.collections[0].get_offsets(), [[1, 0.5], [0, 0], [0, 0], [2, 1.0]]
    )
    assert ax.get_aspect() == 1.0


def test_identity_line_is_drawn(observed):
    ax = predicted_vs_observed(observed, observed)
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_xdata(), line.get_ydata())


def test_different_conditions_are_named(observed):
    with pytest.raises(ValueError, match="differ in their index: 'b' occur in one only"):
        predicted_vs_observed(observed.iloc[:1], observed)


def test_repeated_genes_are_refused(observed):
    twice = observed.set_axis(["g", "g"], axis=1)
    with pytest.raises(ValueError, match="need unique columns"):
        predicted_vs_observed(twice, twice)


def test_array_instead_of_a_table_is_refused(observed):
    with pytest.raises(TypeError, match="`observed` is a ndarray"):
        predicted_vs_observed(observed, observed.to_numpy())


def test_condition_without_group_is_named(observed):
    with pytest.raises(ValueError, match="`groups` has no entry for 'b'"):
        predicted_vs_observed(observed, observed, groups=pd.Series({"a": "x"}))
