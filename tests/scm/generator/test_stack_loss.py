import numpy as np
import pytest

from scgim.scm.generator._stack_loss import CAUSAL, POPULATION, MeasuredEffects, StackLoss


@pytest.fixture
def screen():
    """Twelve perturbations at two doses, and two members that each know half of the truth."""
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(2, 24, 50))
    shift = parts.sum(0) + 0.1 * rng.normal(size=(24, 50))
    measured = MeasuredEffects(
        perturbation=np.repeat(np.arange(12), 2),
        log10_dose=np.tile([0.0, 1.0], 12),
        shift=shift,
        variance=np.full(shift.shape, 0.01),
    )
    return measured, {POPULATION: parts[0], CAUSAL: parts[1]}


def test_the_loss_of_weights_is_the_weighted_squared_error(screen):
    measured, members = screen
    loss = StackLoss.of(measured, members)
    weights = np.array([0.7, 0.2])
    predicted = 0.7 * members[POPULATION] + 0.2 * members[CAUSAL]
    excess = ((measured.shift - members[POPULATION]) ** 2 - measured.variance).mean(0)
    precision = 1 / (measured.variance + np.maximum(excess, 0) + 1e-12)
    error = (precision * (measured.shift - predicted) ** 2).sum(1).reshape(12, 2).sum(1)
    np.testing.assert_allclose(loss.of_weights(weights), error)


def test_members_that_complement_each_other_are_added(screen):
    weights, is_single = StackLoss.of(*screen).choose((POPULATION, CAUSAL))
    assert not is_single
    np.testing.assert_allclose(list(weights.values()), 1, atol=0.05)


def test_members_that_may_not_speak_have_no_weight(screen):
    weights, _ = StackLoss.of(*screen).choose((POPULATION,))
    assert list(weights) == [POPULATION]
