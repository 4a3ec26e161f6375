import numpy as np
import pytest

from scgim.scm._mlp_mechanism import fit_mlp_mechanism

N_PER_CONDITION = 200


@pytest.fixture(scope="module")
def screen():
    """0 -> 1 through a bump, 1 shifted in the first treated condition, replaced in the second."""
    rng = np.random.default_rng(0)
    condition = np.repeat(np.arange(4), N_PER_CONDITION)
    values = rng.standard_normal((len(condition), 2))
    values[:, 1] = np.cos(2 * values[:, 0]) + 0.3 * values[:, 1] + 2.0 * (condition == 1)
    values[condition == 2, 1] = 5.0 + rng.standard_normal(N_PER_CONDITION)
    shifted, replaced = np.zeros((2, 4, 2), dtype=bool)
    shifted[1, 1] = True
    replaced[2, 1] = True
    return values, condition, shifted, replaced


@pytest.fixture(scope="module")
def mechanism(screen):
    values, condition, shifted, replaced = screen
    adjacency = np.array([[False, True], [False, False]])
    return fit_mlp_mechanism(
        values, condition, adjacency, is_shifted=shifted, is_replaced=replaced, seed=0, n_steps=500
    )


def test_a_bump_is_learned_despite_shifted_and_replaced_cells(mechanism):
    grid = np.column_stack([np.linspace(-1.5, 1.5, 50), np.zeros(50)])
    error = mechanism.mean(1, grid) - np.cos(2 * grid[:, 0])
    assert np.sqrt(np.mean(error**2)) < 0.1


def test_noise_variance_is_that_of_the_residuals(mechanism):
    assert mechanism.noise_variance[0] == pytest.approx(1.0, rel=0.15)
    assert mechanism.noise_variance[1] == pytest.approx(0.09, rel=0.2)


def test_a_node_without_parents_has_a_constant_mean(mechanism):
    rng = np.random.default_rng(1)
    means = mechanism.mean(0, rng.standard_normal((5, 2)))
    np.testing.assert_allclose(means, means[0])
    assert means[0] == pytest.approx(0.0, abs=0.1)


def test_a_node_reads_its_parents_only(mechanism):
    cells = np.random.default_rng(1).standard_normal((5, 2))
    changed = cells.copy()
    changed[:, 1] += 10.0
    np.testing.assert_array_equal(mechanism.mean(1, cells), mechanism.mean(1, changed))


def test_same_seed_gives_the_same_mechanism(screen):
    values, condition, shifted, replaced = screen
    adjacency = np.array([[False, True], [False, False]])
    fits = [
        fit_mlp_mechanism(
            values,
            condition,
            adjacency,
            is_shifted=shifted,
            is_replaced=replaced,
            seed=3,
            n_steps=5,
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(fits[0].inner, fits[1].inner)
