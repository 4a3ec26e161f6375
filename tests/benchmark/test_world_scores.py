import numpy as np
import pytest

from scgim.benchmark._figures import ABSTAINED, COVERAGE, ENERGY, R2
from scgim.benchmark._held_out_truth import HeldOutTruth
from scgim.benchmark._world_scores import (
    score_predictions,
    score_uncertainty,
    value_of,
    world_baselines,
)
from scgim.evaluation import DoseInterpolation, NoEffect


@pytest.fixture(scope="module")
def truth(small_world, small_screen):
    return HeldOutTruth.of(small_world, small_screen, n_cells=20)


def scores_of(predictor, screen, truth):
    return score_predictions(predictor, predictor.predict_shift(truth.conditions), screen, truth)


def test_baselines_and_the_ablation_have_names_of_their_own():
    names = [predictor.name for predictor in world_baselines()]
    assert len(set(names)) == len(names)
    assert names[-1] == "generator on PCA"


def test_no_effect_is_scored_on_every_split(small_screen, truth):
    predictor = NoEffect()
    predictor.fit(small_screen)
    rows = scores_of(predictor, small_screen, truth)
    assert {(row["metric"], row["split"]) for row in rows} == {
        (metric, split) for metric in (R2, ENERGY) for split in truth.splits
    }
    assert {row["value"] for row in rows if row["metric"] == R2} == {0.0}


def test_splits_that_cannot_be_predicted_have_no_score(small_screen, truth):
    predictor = DoseInterpolation()
    predictor.fit(small_screen)
    rows = scores_of(predictor, small_screen, truth)
    assert {row["split"] for row in rows} == {"interior_dose", "top_dose"}
    unseen = truth.where(truth.splits["unseen_drug"])
    assert scores_of(predictor, small_screen, unseen) == []


def test_scores_of_a_split_do_not_depend_on_the_others(small_screen, truth):
    predictor = NoEffect()
    predictor.fit(small_screen)
    alone = truth.where(truth.splits["top_dose"])
    together = scores_of(predictor, small_screen, truth)
    r2 = value_of(scores_of(predictor, small_screen, alone), R2, ["top_dose"])
    assert r2 == value_of(together, R2, ["top_dose"])


def test_gim_is_asked_for_intervals_and_where_it_abstains(gim, truth):
    _, lower, upper = gim.predict_interval(truth.conditions)
    rows = score_uncertainty(gim, lower, upper, truth)
    assert {row["metric"] for row in rows} == {COVERAGE, ABSTAINED}
    assert all(0 <= row["value"] <= 1 for row in rows)
    # The potency of a known drug is learned from its other doses.
    assert value_of(rows, ABSTAINED, ["interior_dose"]) == 0


def test_first_scored_split_is_picked():
    rows = [{"metric": R2, "split": "b", "value": 0.5}]
    assert value_of(rows, R2, ["a", "b"]) == 0.5
    assert np.isnan(value_of(rows, R2, ["a"]))
