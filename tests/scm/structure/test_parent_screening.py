import numpy as np
import pytest

from scgim.scm._sufficient_statistics import compute_sufficient_statistics
from scgim.scm.structure._parent_screening import screen_parents

N_NODES = 30


@pytest.fixture(scope="module")
def linear_screen():
    """A sparse linear graph in topological order; ten perturbations shift one node each."""
    rng = np.random.default_rng(0)
    weights = np.triu(rng.random((N_NODES, N_NODES)) < 0.1, 1) * rng.uniform(0.5, 1.0)
    perturbation = np.arange(-1, 10)
    condition = np.repeat(np.arange(11), 100)
    exogenous = rng.standard_normal((1100, N_NODES))
    exogenous[np.arange(1100), condition] += 2.0 * (condition > 0)
    values = exogenous @ np.linalg.inv(np.eye(N_NODES) - weights)
    return compute_sufficient_statistics(values, condition, perturbation), weights != 0


def test_true_parents_are_kept_and_few_others(linear_screen):
    statistics, edges = linear_screen
    kept = screen_parents(statistics, 10)
    assert (kept.sum(axis=0) <= 11).all()
    assert kept[edges].mean() > 0.95
    assert not kept.diagonal().any()


def test_nothing_is_screened_out_where_there_is_room_for_all(linear_screen):
    assert (screen_parents(linear_screen[0], N_NODES) == ~np.eye(N_NODES, dtype=bool)).all()
