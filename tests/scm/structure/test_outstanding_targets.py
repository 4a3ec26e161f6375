import numpy as np
import pytest

from scgim.scm.structure._outstanding_targets import (
    MAX_FALSE_SHARE,
    call_outstanding_targets,
    find_outstanding_targets,
)

N_GENES = 60


def draw(n_perturbations=25, seed=0):
    """Scores of perturbations that do nothing."""
    return np.random.default_rng(seed).standard_normal((n_perturbations, N_GENES))


def one_sided(score):
    return np.zeros(len(score), dtype=bool)


def test_perturbations_that_do_nothing_get_no_target():
    n_called = [
        (find_outstanding_targets(draw(seed=seed), np.zeros(25, bool)) <= MAX_FALSE_SHARE).any()
        for seed in range(200)
    ]
    assert np.mean(n_called) <= MAX_FALSE_SHARE


def test_genes_that_follow_with_an_exponential_tail_are_seldom_called():
    """All effects and no target: the largest effect is called as rarely as the rate says."""
    n_called = []
    for seed in range(200):
        score = np.random.default_rng(seed).exponential(8.0, (25, N_GENES))
        rate = find_outstanding_targets(score, one_sided(score))
        n_called.append((rate <= MAX_FALSE_SHARE).any())
    assert np.mean(n_called) <= MAX_FALSE_SHARE + 2 * np.sqrt(0.09 / 200)


def test_a_gene_that_stands_out_is_called_and_no_other():
    score = draw()
    score[:5, 7] = 9.0
    called = find_outstanding_targets(score, one_sided(score)) <= MAX_FALSE_SHARE
    assert called[:5, 7].all()
    assert called.sum() == 5


def test_a_second_target_is_called_where_both_stand_out_and_hidden_where_they_are_alike():
    score = np.tile(np.linspace(1, -2, N_GENES), (3, 1))
    score[0, [3, 9]] = [40.0, 9.0]
    score[1, [3, 9]] = [9.1, 9.0]
    score[2, 3] = 9.0
    called = find_outstanding_targets(score, one_sided(score)) <= MAX_FALSE_SHARE
    assert np.argwhere(called).tolist() == [[0, 3], [0, 9], [2, 3]]


def test_relabelling_genes_and_perturbations_relabels_the_rates():
    score = draw()
    score[0, 4], score[3, 8] = 9.0, 5.0
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(25), rng.permutation(N_GENES)
    rate = find_outstanding_targets(score, one_sided(score))
    moved = find_outstanding_targets(score[rows][:, columns], one_sided(score))
    np.testing.assert_allclose(moved, rate[rows][:, columns])


def test_not_knowing_the_direction_costs_certainty():
    score = np.tile(np.linspace(0.5, -1, N_GENES), (2, 1))
    score[:, 0] = 3.5
    rate = find_outstanding_targets(score, np.array([False, False]))
    careful = find_outstanding_targets(score, np.array([True, True]))
    assert (careful[:, 0] > rate[:, 0]).all()


@pytest.mark.parametrize("n_genes", [1, 2])
def test_panels_of_one_or_two_genes_have_nothing_to_stand_out_from(n_genes):
    rate = find_outstanding_targets(np.full((2, n_genes), 9.0), np.zeros(2, bool))
    assert np.isnan(rate).all()


def test_no_gene_is_likelier_than_one_that_ranks_before_it():
    score, probability = draw(), np.full((25, N_GENES), 0.99)
    score[0, 7] = 9.0
    unknown = np.full(score.shape, -1)
    called, calibrated = call_outstanding_targets(score, one_sided(score), probability, unknown)
    assert called[0].sum() == called.sum() == 1
    assert calibrated[0, 7] > 1 - MAX_FALSE_SHARE
    assert (calibrated[~called] < 1 - MAX_FALSE_SHARE).all()


def test_known_targets_stay_as_they_are():
    score, probability = draw(), np.full((25, N_GENES), 0.5)
    known = np.full(score.shape, -1)
    known[0, 1], known[1, 7], score[1, 7] = 1, 0, 9.0
    probability[0, 1], probability[1, 7] = 1.0, 0.0
    called, calibrated = call_outstanding_targets(score, one_sided(score), probability, known)
    assert called[0, 1]
    assert not called[1, 7]
    assert calibrated[0, 1] == 1.0
    assert calibrated[1, 7] == 0.0
