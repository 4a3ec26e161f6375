import numpy as np
import pytest

from scgim.scm.structure._denoised_covariance import CountScreen
from scgim.scm.structure._target_evidence import (
    TargetEvidence,
    compute_expression_evidence,
    compute_target_evidence,
    orient_evidence,
)

N_GENES, N_PERTURBED = 8, 300


def draw_screen(effect=-1.2, n_perturbations=6):
    """Counts of a chain of genes; perturbation k hits gene k, so genes after it follow."""
    rng = np.random.default_rng(0)
    perturbation = np.repeat(
        np.arange(-1, n_perturbations), np.append(3000, np.full(n_perturbations, N_PERTURBED))
    )
    nodes = 0.6 * rng.standard_normal((len(perturbation), N_GENES))
    for gene in range(N_GENES):
        nodes[:, gene] += effect * (perturbation == gene)
        if gene:
            nodes[:, gene] += 0.7 * nodes[:, gene - 1]
    counts = rng.poisson(np.exp(1.0 + nodes))
    return CountScreen(counts, np.ones(len(counts)), perturbation, np.zeros((len(counts), 0)))


@pytest.fixture(scope="module")
def evidence():
    return compute_target_evidence(draw_screen())


def test_targets_have_the_strongest_residual(evidence):
    assert (evidence.residual.argmin(axis=1) == np.arange(6)).all()


def test_residual_takes_the_downstream_shift_away(evidence):
    first = np.arange(6)
    downstream = np.abs(evidence.residual[first, first + 1] / evidence.residual[first, first])
    marginal = np.abs(evidence.marginal[first, first + 1] / evidence.marginal[first, first])
    assert downstream.mean() < 0.5 * marginal.mean()
    # Not all of it: a parent of the target shows in the residual of an order-free contrast.
    assert 0.2 < evidence.explained <= 1


def test_without_any_effect_the_graph_is_not_used():
    nothing = compute_target_evidence(draw_screen(effect=0.0))
    assert not nothing.uses_graph
    np.testing.assert_array_equal(nothing.combine(sign=-1), -nothing.marginal)
    assert np.abs(nothing.marginal).std() < 1.3


def test_relabelling_genes_relabels_the_evidence():
    screen = draw_screen()
    order = np.random.default_rng(1).permutation(N_GENES)
    renamed = CountScreen(
        screen.counts[:, order], screen.size_factor, screen.perturbation, screen.covariates
    )
    plain = compute_target_evidence(screen)
    other = compute_target_evidence(renamed)
    np.testing.assert_allclose(other.marginal, plain.marginal[:, order])
    # Thinning draws other numbers for other columns.
    assert np.corrcoef(other.residual.ravel(), plain.residual[:, order].ravel())[0, 1] > 0.99


def test_unknown_direction_asks_both_scores_to_agree():
    both = TargetEvidence(np.array([[3.0, -2.0]]), np.array([[1.0, 2.0]]), explained=0.8)
    np.testing.assert_array_equal(both.combine(), [[1.0, 0.0]])
    np.testing.assert_array_equal(both.combine(sign=1), [[1.0, -2.0]])


@pytest.mark.parametrize("explained", [-np.inf, 0.3, 1.4])
def test_marginal_score_stands_alone_where_the_graph_explains_too_little_or_too_much(explained):
    both = TargetEvidence(np.array([[3.0, -2.0]]), np.array([[1.0, 2.0]]), explained)
    assert not both.uses_graph
    np.testing.assert_array_equal(both.combine(), [[3.0, 2.0]])


def draw_chain(n_control=600, n_cells=150):
    """0 -> 1 -> 2; each of three perturbations lowers one node."""
    rng = np.random.default_rng(3)
    perturbation = np.repeat([-1, 0, 1, 2], [n_control, n_cells, n_cells, n_cells])
    values = rng.standard_normal((len(perturbation), 3))
    for node in range(3):
        values[perturbation == node, node] -= 2.0
        if node < 2:
            values[:, node + 1] += 1.5 * values[:, node]
    return values, perturbation


def test_measurements_that_are_no_counts_have_a_residual_too():
    evidence = compute_expression_evidence(*draw_chain())
    assert (evidence.residual.argmin(axis=1) == np.arange(3)).all()
    # The first knock-out moves its descendants as much as itself; only the residual tells.
    assert -evidence.marginal[0, 2] > 5
    assert -evidence.residual[0, 2] < 5
    # Parents of a target show in the residual, so here it explains too little to be used.
    assert not evidence.uses_graph


def test_single_profiles_are_judged_by_the_other_perturbations():
    profiles = np.vstack([np.zeros((1, 4)), 0.1 * np.random.default_rng(0).random((4, 4))])
    profiles[np.arange(1, 5), np.arange(4)] -= 3.0
    evidence = compute_expression_evidence(profiles, np.arange(-1, 4))
    assert not evidence.residual.any()
    assert not evidence.uses_graph
    assert (evidence.combine(sign=-1).argmax(axis=1) == np.arange(4)).all()


DIRECTIONLESS = {"marginal": np.array([[-3.0, 2.0, 1.0]] * 3), "explained": 0.9}


def test_each_perturbation_is_scored_by_its_own_direction():
    evidence = TargetEvidence(residual=np.array([[-2.0, 4.0, -1.0]] * 3), **DIRECTIONLESS)
    found = evidence.combine(sign=np.array([-1, 1, 0]))
    np.testing.assert_array_equal(found[0], [2.0, -4.0, -1.0])
    np.testing.assert_array_equal(found[1], [-3.0, 2.0, -1.0])
    np.testing.assert_array_equal(found[2], [2.0, 2.0, 0.0])


@pytest.mark.parametrize("sign", [-1, 0, 1])
def test_one_direction_for_all_is_the_same_for_each(evidence, sign):
    each = evidence.combine(sign=np.full(len(evidence.marginal), sign))
    np.testing.assert_array_equal(evidence.combine(sign=sign), each)


def test_unknown_direction_is_no_direction(evidence):
    np.testing.assert_array_equal(evidence.combine(sign=0), evidence.combine())


def test_evidence_speaks_against_nodes_that_moved_the_wrong_way():
    score, effect = np.array([[5.0, 5.0, -2.0, -2.0]] * 3), np.array([[1.0, -1.0, 1.0, -1.0]] * 3)
    found = orient_evidence(score, effect, np.array([-1, 1, 0]))
    np.testing.assert_array_equal(found[0], [-5.0, 5.0, -2.0, -2.0])
    np.testing.assert_array_equal(found[1], [5.0, -5.0, -2.0, -2.0])
    np.testing.assert_array_equal(found[2], score[2])
