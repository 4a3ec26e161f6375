import numpy as np
import pytest

from scgim.benchmark._mechanism_scores import MechanismScores


@pytest.fixture(scope="module")
def scores(gim, small_world, small_screen):
    return MechanismScores(gim, small_world, small_screen)


def test_every_score_is_a_number_and_belongs_to_a_split(scores):
    rows = scores.rows()
    assert len({(row["metric"], row["split"]) for row in rows}) == len(rows)
    assert all(np.isfinite(row["value"]) for row in rows)
    assert {row["predictor"] for row in rows} == {"GIM"}


def test_dose_zero_is_exactly_the_control(scores):
    assert scores.dose_zero() == 0.0


def test_true_targets_and_graph_would_score_one(scores, small_world, monkeypatch):
    truth = small_world.truth
    matching = scores._matching
    column = {int(node): index for index, node in enumerate(matching.index)}

    def true_targets(drugs):
        table = truth["targets"].loc[drugs].astype(float)
        names = scores.gim.model.get_causal_graph().index
        table.columns = [names[matching.index[column]] for column in range(len(names))]
        tidy = table.rename_axis("perturbation").reset_index()
        return tidy.melt("perturbation", var_name="node", value_name="evidence")

    assert len(column) == small_world.n_nodes
    monkeypatch.setattr(scores.gim.model, "get_intervention_targets", true_targets)
    assert set(scores.target_average_precision().values()) == {1.0}


def test_scores_of_targets_are_between_chance_and_one(scores):
    precision = scores.target_average_precision()
    assert set(precision) == {"training", "unseen_drug", "unseen_sum"}
    assert all(0 < value <= 1 for value in precision.values())
