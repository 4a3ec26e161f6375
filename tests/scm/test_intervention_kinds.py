import numpy as np
import pytest

from scgim.scm._intervention_kinds import (
    HARD,
    NONE,
    SCALE,
    SHIFT,
    GroupResiduals,
    InterventionKind,
    resolve_kinds,
)
from scgim.scm._sufficient_statistics import compute_sufficient_statistics
from scgim.scm.structure._prior_knowledge import PriorKnowledge
from scgim.scm.structure._structure_score import StructureScore

N_CELLS = 300


def residuals(within=50.0, between=200.0, own=80.0, n_cells=100.0, variance=0.5):
    one = np.ones((1, 1))
    return GroupResiduals(
        within * one, between * one, own * one, np.array([n_cells]), variance * one
    )


def effect_screen(*, shift=0.0, noise=1.0, keeps_parent=True):
    """0 -> 1 with weight 0.8; the one perturbation changes node 1, four times as many control cells."""
    rng = np.random.default_rng(0)
    hit = np.repeat([False, True], [4 * N_CELLS, N_CELLS])
    values = rng.standard_normal((5 * N_CELLS, 2))
    kept = 0.8 * values[:, 0] * (keeps_parent | ~hit)
    values[:, 1] = kept + np.where(hit, noise, 1.0) * values[:, 1] + shift * hit
    return compute_sufficient_statistics(values, hit.astype(int), np.array([-1, 0]))


def called(statistics, kinds):
    score = StructureScore(statistics, PriorKnowledge.none(2, 1), kind=kinds)
    fit = score.fit(np.array([1]), np.array([[0]]))
    return score.states[fit.state[0, 0]].name, fit


def test_each_kind_explains_the_scatter_it_frees():
    left = residuals()
    assert NONE.scatter(left).item() == 250
    assert SHIFT.scatter(left).item() == 50
    assert SCALE.scatter(left).item() == 250
    assert HARD.scatter(left).item() == 80


def test_costs_are_gaussian_likelihoods():
    left = residuals()
    shared = 0.5 * (100 * np.log(0.5) + np.array([250, 50]) / 0.5)
    np.testing.assert_allclose([NONE.cost(left).item(), SHIFT.cost(left).item()], shared)
    own = 0.5 * 100 * (np.log([2.5, 0.8]) + 1)
    np.testing.assert_allclose([SCALE.cost(left).item(), HARD.cost(left).item()], own)


def test_cells_count_in_the_regression_as_far_as_their_noise_allows():
    left = residuals()
    assert [weight.item() for weight in NONE.weights(left)] == [1, 1]
    assert [weight.item() for weight in SHIFT.weights(left)] == [1, 0]
    assert [weight.item() for weight in SCALE.weights(left)] == [0.2, 0.2]
    assert [weight.item() for weight in HARD.weights(left)] == [0, 0]


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        ({"shift": 1.0}, "shift"),
        ({"noise": 2.0}, "scale"),
        ({"shift": 1.0, "noise": 0.5, "keeps_parent": False}, "hard"),
        ({}, "none"),
    ],
)
def test_evidence_picks_the_kind_that_generated_the_cells(effect, expected):
    assert called(effect_screen(**effect), "any")[0] == expected


def test_noise_of_rescaled_cells_does_not_bias_mechanism_or_noise():
    name, fit = called(effect_screen(noise=3.0), "scale")
    assert name == "scale"
    assert fit.coefficients[0, 0] == pytest.approx(0.8, abs=0.06)
    assert fit.noise_variance[0] == pytest.approx(1.0, abs=0.1)


def test_a_kind_of_your_own_is_found_like_the_others():
    noisy = InterventionKind("noisy shift", moves_mean=True, rescales_noise=True)
    kinds = (SHIFT, SCALE, noisy)
    assert called(effect_screen(shift=1.0, noise=2.0), kinds)[0] == "noisy shift"
    assert called(effect_screen(shift=1.0), kinds)[0] == "shift"


def test_a_name_stands_for_kinds_and_kinds_stand_for_themselves():
    assert resolve_kinds("auto") == (SHIFT, HARD)
    assert resolve_kinds((SCALE,)) == (SCALE,)


def test_free_parameters_have_their_price():
    statistics = effect_screen()
    shift, hard = SHIFT.price(statistics), HARD.price(statistics)
    assert hard - shift == pytest.approx(0.5 * np.log(N_CELLS))
    assert SCALE.price(statistics) >= 6


def test_a_node_cannot_lose_its_parents_and_keep_their_mean():
    with pytest.raises(AssertionError, match="needs a mean"):
        InterventionKind("cut", moves_mean=False, cuts_parents=True)
