import numpy as np
import pytest

from scgim.scm import CountScreen, compute_target_evidence, judge_on_held_out_cells

N_GENES = 6


def _screen(*, is_chain, n_cells=300, seed=0):
    """Knock-down of gene 0; the others follow it within and between perturbations, or between only."""
    rng = np.random.default_rng(seed)
    perturbation = np.repeat([-1, 0, 1, 2], n_cells)
    z = 0.5 * rng.normal(size=(len(perturbation), N_GENES))
    z[perturbation == 0, 0] -= 1.5
    z[perturbation == 1, 5] -= 1.5
    if is_chain:
        z[:, 1:4] += 0.9 * z[:, :1]
    else:
        z[perturbation == 0, 1:4] -= 1.35
    counts = rng.poisson(np.exp(2 + z))
    ones = np.ones(len(perturbation))
    return CountScreen(counts, ones, perturbation, np.zeros((len(perturbation), 0)))


def _judge(screen):
    rng = np.random.default_rng(1)
    evidence = compute_target_evidence(screen)
    return judge_on_held_out_cells(evidence, screen, rng)


def test_a_graph_that_explains_held_out_cells_is_used():
    assert _judge(_screen(is_chain=True)).uses_graph


def test_a_shift_that_no_covariance_explains_is_not_put_down_to_the_graph():
    judged = _judge(_screen(is_chain=False))
    assert not judged.uses_graph
    np.testing.assert_array_equal(judged.combine(), np.abs(judged.marginal))


def test_only_the_share_is_judged_anew():
    screen = _screen(is_chain=True)
    evidence = compute_target_evidence(screen)
    judged = judge_on_held_out_cells(evidence, screen, np.random.default_rng(0))
    np.testing.assert_array_equal(judged.residual, evidence.residual)
    assert judged.explained == pytest.approx(evidence.explained, abs=0.3)


def test_too_few_cells_show_nothing():
    screen = _screen(is_chain=True, n_cells=3)
    evidence = compute_target_evidence(screen)
    assert not judge_on_held_out_cells(evidence, screen, np.random.default_rng(0)).uses_graph
