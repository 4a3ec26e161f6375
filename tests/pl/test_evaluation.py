import numpy as np
import pandas as pd
import pytest

from scgim import pl


@pytest.fixture
def differences():
    rows = [
        ("rank", 0, "ridge", 0.1, 0.05, 0.15),
        ("rank", 1, "ridge", 0.02, -0.02, 0.06),
        ("weighted MSE", 0, "ridge", -40.0, -50.0, -30.0),
        ("weighted MSE", 1, "ridge", -20.0, np.nan, np.nan),
    ]
    columns = ["metric", "seed", "baseline", "difference", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_each_metric_is_scaled_to_its_own_interval_and_says_its_number(differences):
    ax = pl.paired_differences(differences)
    assert [text.get_text() for text in ax.texts] == ["+0.060 vs ridge", "-30.000 vs ridge"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["rank", "weighted MSE"]
    reach = [np.abs(line.get_xdata()).max() for line in ax.lines[:-1]]
    assert max(reach) == pytest.approx(1.0)


def test_marks_are_filled_where_the_interval_excludes_zero(differences):
    marks = [
        line for line in pl.paired_differences(differences).lines if len(line.get_xdata()) == 1
    ]
    is_filled = [mark.get_markerfacecolor() != "white" for mark in marks]
    assert is_filled == [True, False, True, False]


def test_the_legend_tells_seeds_by_their_shape(differences):
    ax = pl.paired_differences(differences)
    assert labels(ax) == ["seed 0", "seed 1"]
    shapes = [handle.get_marker() for handle in ax.get_legend().legend_handles]
    assert len(set(shapes)) == 2
    assert pl.paired_differences(differences[differences["seed"] == 0]).get_legend() is None


def test_coverage_lies_beside_the_diagonal():
    table = pd.DataFrame({"level": [0.8, 0.5], "coverage": [0.7, 0.4], "seed": 3})
    ax = pl.interval_coverage(table)
    assert labels(ax) == ["seed 3"]
    np.testing.assert_allclose(ax.lines[1].get_xydata(), [[0.5, 0.4], [0.8, 0.7]])


def test_risk_is_that_of_the_surest_first():
    errors = pd.DataFrame({"error": [4.0, 1.0], "uncertainty": [0.9, 0.1], "seed": 0})
    line = pl.risk_coverage(errors).lines[0]
    np.testing.assert_allclose(line.get_xydata(), [[0.5, 1.0], [1.0, 2.5]])


def test_strata_keep_their_order_and_predictors_differ_without_colour():
    scores = pd.DataFrame(
        {
            "predictor": ["GIM", "GIM", "ridge", "ridge"],
            "stratum": ["10", "1", "10", "1"],
            "value": [0.9, 0.1, 0.5, 0.0],
        }
    )
    ax = pl.score_by_stratum(scores, label="R²")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "1"]
    assert labels(ax) == ["GIM", "ridge"]
    first, second = ax.lines[:2]
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_marker() != second.get_marker()
