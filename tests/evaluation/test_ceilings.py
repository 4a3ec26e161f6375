import numpy as np
import pytest

from scgim.evaluation import ScoringSettings, TrainedGIM, split
from scgim.evaluation._ceilings import GIMCeilings, score_duplicate
from scgim.evaluation._evaluate import prepare
from scgim.evaluation._scoring import METRICS, Scorer


@pytest.fixture(scope="module")
def scorer(small_world):
    """Top doses: the session's model has seen these drugs at other doses."""
    adata = small_world.screen()
    settings = ScoringSettings(n_genes=20)
    return Scorer(*prepare(adata, split(adata, "top_dose", fraction=0.5), settings), settings)


@pytest.fixture
def ceilings(gim, scorer):
    return GIMCeilings(TrainedGIM(gim.model), scorer.screen, scorer.truth)


def correlation_with(world, prediction, scorer):
    expected = world.expected_shift(scorer.truth.conditions, n_cells=400)
    return np.corrcoef(prediction.shift.ravel(), expected.ravel())[0, 1]


def test_a_duplicate_is_near_the_truth_but_not_on_it(scorer):
    scores = score_duplicate(scorer)
    assert len(scores) == len(METRICS) * scorer.truth.n_conditions
    means = scores.groupby("metric")["value"].mean()
    assert means["weighted MSE"] > 0
    assert means["discrimination l2"] > 0.6


def test_decoded_cells_keep_the_effect(ceilings, scorer, small_world):
    prediction = ceilings.autoencoder()
    starts = scorer.truth.starts
    sizes = [len(cells) for cells in prediction.cells(np.arange(scorer.truth.n_conditions))]
    assert sizes == np.diff(starts).tolist()
    assert correlation_with(small_world, prediction, scorer) > 0.3


def test_the_intervention_read_off_the_cells_keeps_the_effect(ceilings, scorer, small_world):
    prediction = ceilings.oracle_intervention()
    assert correlation_with(small_world, prediction, scorer) > 0.3
    cells = prediction.cells(np.array([0]))[0]
    assert cells.shape == (100, scorer.truth.shift.shape[1])


def test_held_out_cells_are_shown_to_the_encoder_as_controls(ceilings):
    assert (ceilings._held_out.obs["drug"] == "vehicle").all()
    assert (ceilings._held_out.obs["dose"] == 0).all()
