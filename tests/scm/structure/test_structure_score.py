import numpy as np
import pytest

from scgim.scm._sufficient_statistics import compute_sufficient_statistics
from scgim.scm.structure._prior_knowledge import PriorKnowledge
from scgim.scm.structure._structure_score import StructureScore

N_CELLS = 400
NONE, SHIFT, HARD = range(3)


def chain_screen(is_hard=False):
    """0 -> 1 -> 2; the first perturbation hits node 1, the second node 2, the third nothing."""
    rng = np.random.default_rng(0)
    perturbation = np.array([-1, 0, 1, 2])
    condition = np.repeat(np.arange(4), N_CELLS)
    values = rng.standard_normal((4 * N_CELLS, 3))
    hit = condition == 1
    kept = ~hit if is_hard else np.ones(len(values), dtype=bool)
    values[:, 1] = 0.8 * values[:, 0] * kept + np.where(kept, 1.0, 0.4) * values[:, 1] + 2.0 * hit
    values[:, 2] += 0.8 * values[:, 1] - 1.5 * (condition == 2)
    return compute_sufficient_statistics(values, condition, perturbation)


def score_of(statistics, kind="shift", **known):
    prior = PriorKnowledge.none(statistics.n_nodes, statistics.n_perturbations)
    return StructureScore(statistics, PriorKnowledge(**{**vars(prior), **known}), kind=kind)


def fit(score, node, *parents):
    return score.fit(np.array([node]), np.array([parents], dtype=int).reshape(1, -1))


def test_targets_are_found_given_the_true_parents():
    score = score_of(chain_screen())
    assert fit(score, 1, 0).state.tolist() == [[SHIFT, NONE, NONE]]
    assert fit(score, 2, 1).state.tolist() == [[NONE, SHIFT, NONE]]


def test_missing_parent_is_paid_by_a_false_target():
    score = score_of(chain_screen())
    assert fit(score, 2).state.tolist() == [[SHIFT, SHIFT, NONE]]
    assert fit(score, 2).score[0] > fit(score, 2, 1).score[0]


def test_coefficients_are_those_that_generated_the_cells():
    found = fit(score_of(chain_screen()), 2, 1)
    assert found.coefficients[0] == pytest.approx([0.8, 0.0], abs=0.05)
    assert found.noise_variance[0] == pytest.approx(1.0, abs=0.05)


def test_score_is_the_gaussian_likelihood_plus_its_penalties():
    statistics = chain_screen()
    found = fit(score_of(statistics), 2, 1)
    n_total = statistics.n_cells.sum()
    likelihood = 0.5 * n_total * (np.log(found.noise_variance[0]) + 1)
    edge = 0.5 * np.log(n_total) + np.log(2)
    assert found.score[0] == pytest.approx(likelihood + statistics.target_penalty[1] + edge)


def test_many_families_score_as_they_do_alone():
    score = score_of(chain_screen())
    together = score.fit(np.array([0, 1, 2]), np.array([[1], [0], [0]]))
    alone = [fit(score, *family).score[0] for family in ((0, 1), (1, 0), (2, 0))]
    np.testing.assert_allclose(together.score, alone)


@pytest.mark.parametrize(("is_hard", "expected"), [(False, SHIFT), (True, HARD)])
def test_evidence_tells_a_hard_intervention_from_a_shift(is_hard, expected):
    found = fit(score_of(chain_screen(is_hard), kind="auto"), 1, 0)
    assert found.state.tolist() == [[expected, NONE, NONE]]


def test_hard_intervention_does_not_bias_the_mechanism():
    statistics = chain_screen(is_hard=True)
    as_hard = fit(score_of(statistics, kind="hard"), 1, 0).coefficients[0, 0]
    as_shift = fit(score_of(statistics, kind="shift"), 1, 0).coefficients[0, 0]
    assert as_hard == pytest.approx(0.8, abs=0.05)
    assert as_shift < 0.7


def test_known_targets_are_kept_and_known_non_targets_are_not_called():
    score = score_of(chain_screen(), targets=np.array([[-1, 0, -1], [-1, -1, -1], [-1, 1, -1]]))
    state = fit(score, 1, 0).state[0]
    assert (state[0], state[2]) == (NONE, SHIFT)


def test_log_odds_of_an_edge_lower_its_score():
    statistics = chain_screen()
    odds = np.zeros((3, 3))
    odds[1, 2] = 4.0
    plain = fit(score_of(statistics), 2, 1).score[0]
    assert fit(score_of(statistics, edge_log_odds=odds), 2, 1).score[0] == pytest.approx(plain - 4)
