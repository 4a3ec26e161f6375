import numpy as np
import pandas as pd
import pytest

from scgim.datasets import ProgramsWorld
from scgim.datasets._drug_world import DrugWorld


class OtherWorld(DrugWorld):
    """The cell and drugs of another world, with random streams of its own."""

    _first_stream = 7

    def __init__(self, world, seed):
        self.seed, self.n_control, self.n_cells = seed, 30, 4
        self._world = world

    @property
    def simulator(self):
        return self._world.simulator

    def screen(self):
        return self._simulate(self._world.training_conditions)


@pytest.fixture(scope="module")
def programs_world():
    return ProgramsWorld(2, n_genes=40, n_control=20, n_cells=3)


@pytest.fixture(scope="module")
def conditions():
    return pd.DataFrame({"drug": ["drug_01", "vehicle"], "dose": [10.0, 0.0]})


def counts(adata):
    return adata.X.toarray()


def test_screen_has_control_cells_first_then_as_many_per_condition(programs_world):
    screen = OtherWorld(programs_world, 0).screen()
    assert (screen.obs["drug"][:30] == "vehicle").all()
    treated = screen.obs[30:]
    assert set(treated.groupby(["drug", "dose"], observed=True).size()) == {4}
    assert len(treated) == 4 * len(programs_world.training_conditions)


def test_cells_depend_on_the_seed_of_the_world_and_on_their_own(programs_world, conditions):
    world, other = OtherWorld(programs_world, 0), OtherWorld(programs_world, 1)
    cells = counts(world.sample(conditions, 5, seed=3))
    np.testing.assert_array_equal(cells, counts(world.sample(conditions, 5, seed=3)))
    assert (cells != counts(world.sample(conditions, 5, seed=4))).any()
    assert (cells != counts(other.sample(conditions, 5, seed=3))).any()


def test_worlds_with_other_streams_share_no_cells(programs_world, conditions):
    same_seed = OtherWorld(programs_world, programs_world.seed)
    cells = counts(same_seed.sample(conditions, 5, seed=3))
    assert (cells != counts(programs_world.sample(conditions, 5, seed=3))).any()


def test_control_has_no_shift_and_a_drug_has_one(programs_world, conditions):
    shift = OtherWorld(programs_world, 0).expected_shift(conditions, n_cells=400)
    assert np.abs(shift[1]).max() < 0.2
    assert np.abs(shift[0]).max() > 3 * np.abs(shift[1]).max()


def test_no_cells_are_refused(programs_world, conditions):
    with pytest.raises(ValueError, match="`n_cells=0` is too small"):
        programs_world.sample(conditions, 0, seed=0)
