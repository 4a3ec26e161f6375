import numpy as np
import pandas as pd
import pytest

from scgim.evaluation import Verdict
from scgim.evaluation._scoring import METRICS, R2_CONTROL, WMSE
from scgim.evaluation.report._evaluation_report import (
    add_tables,
    difference_table,
    left_out,
    mean_scores,
    summarize,
)
from scgim.evaluation.report._report import ReportText


def test_predictors_are_ordered_by_kind_and_none_is_dropped(scores_of):
    table = mean_scores(scores_of(), "effect")
    assert table.index.tolist() == ["GIM", "additive", "no effect", "technical duplicate"]
    assert table["kind"].tolist() == ["evaluated", "baseline", "baseline", "ceiling"]
    assert table.loc["GIM", f"{R2_CONTROL} ↑"] == 0.5
    assert np.isnan(table.loc["additive", f"{WMSE} ↓"])


NO_CLAIM = Verdict(
    "GIM",
    "on par",
    "GIM is on par.",
    pd.DataFrame(columns=["metric", "seed", "baseline", "predictor_score", "baseline_score",
                          "difference", "lower", "upper", "n_perturbations"]),
)  # fmt: skip


def test_a_family_without_any_score_says_why_instead_of_showing_a_table(folder, scores_of):
    scores = scores_of()
    is_rank = scores["metric"].str.contains("rank|discrimination")
    reason = "no other perturbation at this dose and context"
    scores.loc[is_rank, ["value", "reason"]] = (np.nan, reason)
    add_tables(folder, scores, NO_CLAIM)
    found = {item.title: item for item in folder.items}
    told = found["Are perturbations told apart?"]
    assert told == ReportText(
        "Are perturbations told apart?",
        f"No predictor has a score (rank, discrimination l1, discrimination l2, discrimination cosine): {reason}.",
    )
    assert not isinstance(found["Is the effect right?"], ReportText)


def test_the_header_counts_what_was_held_out(scores_of):
    verdict, audit, held_out, _ = summarize(NO_CLAIM, "No audit.", scores_of((1.0,)), "top_dose")
    assert (verdict, audit) == ("GIM is on par.", "No audit.")
    assert held_out == "Split 'top_dose': 1 perturbation and 1 condition held out per seed, 1 seed."


def test_left_out_counts_rows_by_reason(scores_of):
    table = left_out(scores_of())
    assert table.loc["not a combination"].to_dict() == {
        "predictors": "additive",
        "metrics": "all",
        "rows": str(2 * len(METRICS)),
    }


def test_difference_table_names_metric_and_seed():
    row = dict.fromkeys(("predictor_score", "baseline_score", "difference", "lower", "upper"), 0.1)
    differences = pd.DataFrame(
        [{"metric": "rank", "seed": 2, "baseline": "ridge", "n_perturbations": 7, **row}]
    )
    table = difference_table(differences)
    assert table.index.tolist() == ["rank"]
    assert table["seed"].tolist() == ["2"]
    assert table["perturbations"].tolist() == ["7"]


@pytest.mark.parametrize("family", ["specificity", "changed genes", "distribution", "uncertainty"])
def test_every_family_has_a_table(family, scores_of):
    assert len(mean_scores(scores_of(), family).columns) > 2 - (family == "uncertainty")


def test_coverage_is_said_to_be_right_at_its_level_and_not_at_0(scores_of):
    columns = mean_scores(scores_of(), "uncertainty").columns
    assert "coverage of the interval (near .8)" in columns
