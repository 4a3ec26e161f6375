import numpy as np
import pytest

from scgim.benchmark import OracleGenerator, ReplicateCeiling
from scgim.benchmark._held_out_truth import HeldOutTruth, project
from scgim.evaluation import NoEffect


@pytest.fixture(scope="module")
def truth(world, screen):
    return HeldOutTruth.of(world, screen, n_cells=150)


def scores_of(predictor, screen, truth):
    predictor.fit(screen)
    cells = predictor.predict_cells(truth.conditions, 150, seed=0)
    shift = predictor.predict_shift(truth.conditions)
    return truth.score_shift(shift), truth.score_cells(project(screen, cells))


def test_lowest_dose_is_left_out_and_every_split_is_there(world, truth):
    assert truth.conditions["dose"].min() > world.held_out["dose"].min()
    assert set(truth.score_shift(truth.shift)) == set(world.held_out["split"])


def test_a_single_held_out_dose_is_kept(world, screen):
    top = world.held_out.query("split == 'top_dose'")
    assert len(HeldOutTruth.of(world, screen, n_cells=5, held_out=top).conditions) == len(top)


def test_true_shift_scores_one_and_no_effect_scores_zero(screen, truth):
    assert set(truth.score_shift(truth.shift).values()) == {1.0}
    r2, distance = scores_of(NoEffect(), screen, truth)
    assert set(r2.values()) == {0.0}
    assert all(0.8 < value < 1.2 for value in distance.values())


def test_oracle_is_as_close_as_a_replicate(world, screen, truth):
    r2, distance = scores_of(OracleGenerator(world), screen, truth)
    assert min(r2.values()) > 0.95
    assert all(abs(value) < 0.06 for value in distance.values())


def test_replicate_of_few_cells_lies_between_oracle_and_no_effect(world, screen, truth):
    r2, distance = scores_of(ReplicateCeiling(world, n_measured=20), screen, truth)
    assert 0.6 < min(r2.values()) < 0.99
    assert all(0.02 < value < 0.6 for value in distance.values())


def test_interval_around_the_truth_covers_it_and_a_shifted_one_does_not(truth):
    inside = truth.score_interval(truth.shift - 0.1, truth.shift + 0.1)
    assert set(inside.values()) == {1.0}
    outside = truth.score_interval(truth.shift + 0.1, truth.shift + 0.2)
    assert set(outside.values()) == {0.0}


def test_top_genes_are_those_that_move_most(truth):
    assert (truth.top_genes.sum(axis=1) == 50).all()
    size = np.abs(truth.shift[0])
    assert size[truth.top_genes[0]].min() >= size[~truth.top_genes[0]].max()
