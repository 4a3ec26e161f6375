import numpy as np
import pytest

from scgim.benchmark import OracleGenerator, ReplicateCeiling


@pytest.fixture
def top(world):
    return world.held_out.query("split == 'unseen_drug'").tail(3)[["drug", "dose"]]


def test_replicate_has_no_more_cells_than_were_measured(world, screen, top):
    ceiling = ReplicateCeiling(world, n_measured=5)
    ceiling.fit(screen)
    cells = ceiling.predict_cells(top, 40, seed=0)
    assert cells.shape == (3, 40, world.n_genes)
    assert len(np.unique(cells[0], axis=0)) <= 5


def test_shift_of_the_replicate_is_that_of_its_cells(world, screen, top):
    ceiling = ReplicateCeiling(world, n_measured=5)
    ceiling.fit(screen)
    distinct = [np.unique(cells, axis=0) for cells in ceiling.predict_cells(top, 200, seed=0)]
    means = np.stack([cells.mean(axis=0) for cells in distinct]) - screen.control_mean
    np.testing.assert_allclose(ceiling.predict_shift(top), means, atol=1e-5)


def test_oracle_gives_other_cells_for_another_seed(world, screen, top):
    oracle = OracleGenerator(world)
    oracle.fit(screen)
    first, again, other = (oracle.predict_cells(top, 6, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_ceiling_asked_before_fitting_is_refused(world, top):
    with pytest.raises(RuntimeError, match="The predictor 'oracle' has not been fitted"):
        OracleGenerator(world).predict_shift(top)
