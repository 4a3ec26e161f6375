import re

import numpy as np
import pandas as pd
import pytest

from scgim.evaluation import judge, judge_overall

BETTER = {"weighted MSE": "lower", "weighted R² from control": "higher", "rank": "lower"}
FAMILY = {"weighted MSE": "effect", "weighted R² from control": "effect", "rank": "specificity"}


def scores_of(gains, *, n_seeds=5, n_perturbations=12, noise=0.02):
    """GIM is better than the baseline by ``gains`` per metric; two doses of each perturbation."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(n_seeds):
        for name in [f"drug {i}" for i in range(n_perturbations)]:
            for metric, gain in gains.items():
                level = rng.normal(0.5, 0.3)
                sign = -1.0 if BETTER[metric] == "lower" else 1.0
                for dose in (1.0, 10.0):
                    own = level + sign * (gain + noise * rng.normal())
                    common = (metric, FAMILY[metric], BETTER[metric], seed, name, dose)
                    rows.append(("GIM", "evaluated", own, *common))
                    rows.append(("ridge", "baseline", level, *common))
                    rows.append(("no effect", "baseline", level - sign * 0.5, *common))
                    rows.append(("generator on PCA", "ablation", level + sign, *common))
    columns = ["predictor", "kind", "value", "metric", "family", "better", "seed"]
    return pd.DataFrame(rows, columns=[*columns, "perturbation", "dose"])


def test_better_needs_an_effect_and_a_specificity_metric():
    both = judge(scores_of({"weighted R² from control": 0.1, "rank": 0.1}), "GIM")
    assert both.word == "better"
    assert judge(scores_of({"weighted R² from control": 0.1, "rank": 0.0}), "GIM").word == "on par"
    assert judge(scores_of({"weighted MSE": 0.1, "rank": 0.1}), "GIM").word == "better"


def test_the_best_baseline_is_the_opponent_and_the_ablation_is_none():
    verdict = judge(scores_of({"weighted R² from control": 0.1, "rank": 0.1}), "GIM")
    assert set(verdict.differences["baseline"]) == {"ridge"}
    np.testing.assert_allclose(verdict.differences["difference"], 0.1, atol=0.02)
    assert (verdict.differences["n_perturbations"] == 12).all()


def test_worse_than_the_best_baseline_is_said():
    verdict = judge(scores_of({"weighted R² from control": -0.1, "rank": -0.2}), "GIM")
    assert verdict.word == "worse"
    assert verdict.sentence.startswith(
        "GIM is worse than the best baseline on this split (5 seeds): weighted R² from control lost; "
        "rank lost. "
    )


def test_one_metric_won_and_one_lost_is_on_par():
    scores = scores_of({"weighted R² from control": 0.1, "rank": -0.2})
    assert judge(scores, "GIM").word == "on par"


def test_a_win_in_three_of_five_seeds_is_not_enough():
    scores = scores_of({"weighted R² from control": 0.1, "rank": 0.1})
    is_own = scores["predictor"] == "GIM"
    lost = is_own & scores["seed"].isin([0, 1]) & (scores["metric"] == "rank")
    scores.loc[lost, "value"] += 0.2
    assert judge(scores, "GIM").word == "on par"
    scores.loc[lost & (scores["seed"] == 1), "value"] -= 0.2
    assert judge(scores, "GIM").word == "better"


def test_better_scores_are_no_claim_where_the_feature_audit_fails():
    scores = scores_of({"weighted R² from control": 0.1, "rank": 0.1})
    verdict = judge(scores, "GIM", uses_features=False)
    assert verdict.word == "on par"
    assert verdict.sentence.startswith(
        "GIM is on par with the baselines on this split: its scores are better, but the feature audit "
        "does not pass, and without it they are no claim. Weighted R² from control "
    )
    assert judge(scores, "GIM", uses_features=True).word == "better"
    worse = scores_of({"weighted R² from control": -0.1, "rank": -0.2})
    assert judge(worse, "GIM", uses_features=False).word == "worse"


def test_better_without_an_audit_says_that_there_was_none():
    scores = scores_of({"weighted R² from control": 0.1, "rank": 0.1})
    assert judge(scores, "GIM").sentence.endswith(" There was no feature audit.")
    audited = judge(scores, "GIM", uses_features=True)
    assert audited.word == "better"
    assert "audit" not in audited.sentence
    on_par = judge(scores_of({"weighted R² from control": 0.1, "rank": 0.0}), "GIM")
    assert "audit" not in on_par.sentence


def test_few_perturbations_never_make_a_claim():
    scores = scores_of({"weighted R² from control": 0.5, "rank": 0.5}, n_perturbations=1)
    verdict = judge(scores, "GIM")
    assert verdict.word == "on par"
    message = (
        "GIM is on par with the baselines on this split: 1 held-out perturbation is too few for an "
        "interval, so nothing else can be claimed (5 seeds). "
    )
    assert re.match(re.escape(message), verdict.sentence)


def test_conditions_of_one_perturbation_count_once():
    scores = scores_of({"weighted R² from control": 0.0, "rank": 0.0}, noise=0.3)
    doubled = pd.concat([scores, scores.assign(dose=scores["dose"] * 3)])
    first, second = (judge(table, "GIM").differences for table in (scores, doubled))
    np.testing.assert_allclose(first["upper"], second["upper"])


def test_without_a_metric_to_compare_nothing_is_claimed():
    scores = scores_of({"rank": 0.1})
    scores.loc[scores["kind"] == "baseline", "value"] = np.nan
    assert judge(scores, "GIM").sentence == (
        "GIM is on par with the baselines: no metric of effect or specificity could be compared on "
        "these held-out conditions."
    )


def test_unknown_predictor_is_named():
    message = (
        "`predictor='mine'` is not among the evaluated predictors of `scores`, which are ['GIM']. Pass "
        "one of them."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        judge(scores_of({"rank": 0.1}), "mine")


@pytest.fixture
def better():
    return judge(scores_of({"weighted R² from control": 0.1, "rank": 0.1}), "GIM")


def test_the_whole_claim_needs_both_splits_five_seeds_and_the_audit(better):
    assert judge_overall(better, better, uses_features=True).word == "better"
    on_par = judge(scores_of({"weighted R² from control": 0.1, "rank": 0.0}), "GIM")
    assert judge_overall(better, on_par, uses_features=True).word == "on par"


def test_the_sentence_says_what_a_claim_lacks(better):
    without = judge_overall(better, better, uses_features=False)
    assert without.word == "on par"
    assert without.sentence == (
        "On unseen perturbations GIM is on par with the best baseline (at random, better; by scaffold, "
        "better). The feature audit does not pass."
    )
    unaudited = judge_overall(better, better, uses_features=None)
    assert unaudited.sentence.endswith("There was no feature audit.")
    by_class = judge_overall(better, better, uses_features=True, grouping="class")
    assert by_class.sentence.endswith("(at random, better; by class, better).")
    few = judge(scores_of({"weighted R² from control": 0.1, "rank": 0.1}, n_seeds=3), "GIM")
    assert few.word == "better"
    short = judge_overall(better, few, uses_features=True)
    assert short.word == "on par"
    assert short.sentence.endswith("Only 3 seeds by scaffold, and five are needed.")


def test_worse_on_both_splits_is_worse():
    worse = judge(scores_of({"weighted R² from control": -0.1, "rank": -0.2}), "GIM")
    assert judge_overall(worse, worse, uses_features=True).word == "worse"
