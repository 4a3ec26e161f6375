import numpy as np
import pytest
import torch

from scgim.scm import shift_nodes
from scgim.spaces._population import Population


@pytest.fixture(scope="module")
def statistics(model):
    return model.fitted.statistics


@pytest.fixture(scope="module")
def population(model, statistics):
    return Population(model.module, statistics, n_cells=200)


def test_no_shift_moves_nothing(population):
    assert torch.equal(population.mean_shift(shift_nodes(torch.zeros(2, 3))), torch.zeros(2, 24))


def test_shifts_are_measured_on_the_same_cells(population):
    shift = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    together = population.mean_shift(shift_nodes(shift))
    for row in range(2):
        torch.testing.assert_close(
            population.mean_shift(shift_nodes(shift[row : row + 1]))[0], together[row]
        )


def test_blocks_do_not_change_the_result(population, monkeypatch):
    shift = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    whole = population.mean_shift(shift_nodes(shift))
    monkeypatch.setattr("scgim.spaces._population.MAX_ELEMENTS_CPU", 2 * 200 * 24)
    torch.testing.assert_close(population.mean_shift(shift_nodes(shift)), whole)


def test_only_members_are_drawn(model, statistics):
    is_member = statistics.control_library > np.median(statistics.control_library)
    population = Population(model.module, statistics, n_cells=50, is_member=is_member)
    assert population.library.min() > np.median(statistics.control_library)


def test_the_seed_decides_on_the_noise(model, statistics):
    one, same, other = (
        Population(model.module, statistics, n_cells=5, seed=seed).noise for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_more_cells_than_there_are_controls_can_be_drawn(model, statistics):
    assert len(Population(model.module, statistics, n_cells=500).library) == 500
