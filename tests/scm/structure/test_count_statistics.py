import numpy as np
import pytest

from scgim.scm._sufficient_statistics import compute_sufficient_statistics
from scgim.scm.structure._count_statistics import compute_count_statistics
from scgim.scm.structure._denoised_covariance import CountScreen
from scgim.scm.structure._structure_search import SearchSettings, search_structure

N_NODES, N_CONTROL, N_CELLS = 5, 3000, 500


@pytest.fixture(scope="module")
def screen():
    """Poisson counts of a chain 0 -> 1 -> ... -> 4 of log rates; each of three knock-outs hits a gene."""
    rng = np.random.default_rng(0)
    perturbation = np.repeat([-1, 0, 1, 2], [N_CONTROL, N_CELLS, N_CELLS, N_CELLS])
    noise = 0.5 * rng.standard_normal((len(perturbation), N_NODES))
    for target in range(3):
        noise[perturbation == target, target] -= 1.0
    chain = np.zeros((N_NODES, N_NODES))
    chain[np.arange(4), np.arange(1, 5)] = 0.8
    log_rate = 1.0 + noise @ np.linalg.inv(np.eye(N_NODES) - chain)
    counts = rng.poisson(np.exp(log_rate))
    return CountScreen(
        counts, np.ones(len(counts)), perturbation, np.zeros((len(counts), 0))
    ), chain != 0


@pytest.fixture(scope="module")
def statistics(screen):
    return compute_count_statistics(screen[0])


def test_noisy_cells_count_less(screen, statistics):
    share = statistics.n_cells / np.array([N_CELLS, N_CELLS, N_CELLS, N_CONTROL])
    assert np.ptp(share) < 1e-12
    assert 0.2 < share[0] < 0.8


def test_graph_of_counts_is_found_and_not_overconnected(screen, statistics):
    counts, edges = screen
    settings = SearchSettings(n_restarts=5)
    found = search_structure(statistics, np.random.default_rng(0), settings=settings).adjacency
    assert found[edges].all()
    assert found.sum() <= edges.sum() + 1
    values = counts.log_expression(counts.counts)
    naive = compute_sufficient_statistics(
        values, counts.perturbation + 1, np.arange(-1, 3), is_linear=True
    )
    rival = search_structure(naive, np.random.default_rng(0), settings=settings).adjacency
    assert rival.sum() > found.sum()


def test_means_are_those_of_the_conditions(screen, statistics):
    counts, _ = screen
    values = counts.log_expression(counts.counts)
    control = values[counts.is_control]
    expected = (values[counts.perturbation == 1].mean(0) - control.mean(0)) / control.std(0)
    means = statistics.between[:-1, -1, 1] / statistics.between[-1, -1, 1]
    np.testing.assert_allclose(means, expected, rtol=1e-3)
