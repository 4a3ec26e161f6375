import numpy as np
import pytest
import torch

from scgim.scm import MechanismData, MLPMechanism

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


def fit(screen, seed, n_steps):
    values, condition, shifted, replaced = screen
    unused = np.full(2, np.nan)
    data = MechanismData(
        values=values,
        condition=condition,
        graph=np.array([[False, True], [False, False]]),
        is_shifted=shifted,
        is_replaced=replaced,
        linear_weights=np.full((2, 2), np.nan),
        linear_offset=unused,
        linear_noise_variance=unused,
        seed=seed,
    )
    mechanism = MLPMechanism(2).double().requires_grad_(requires_grad=False)
    mechanism._fit(data, n_steps)
    return mechanism


@pytest.fixture(scope="module")
def mechanism(screen):
    return fit(screen, seed=0, n_steps=500)


def mean(mechanism, values):
    return mechanism.mean(torch.as_tensor(values)).numpy()


def test_a_bump_is_learned_despite_shifted_and_replaced_cells(mechanism):
    grid = np.column_stack([np.linspace(-1.5, 1.5, 50), np.zeros(50)])
    error = mean(mechanism, grid)[:, 1] - np.cos(2 * grid[:, 0])
    assert np.sqrt(np.mean(error**2)) < 0.1


def test_noise_variance_is_that_of_the_residuals(mechanism):
    variance = mechanism.noise_sd.square().tolist()
    assert variance[0] == pytest.approx(1.0, rel=0.15)
    assert variance[1] == pytest.approx(0.09, rel=0.2)


def test_a_node_without_parents_has_a_constant_mean(mechanism):
    rng = np.random.default_rng(1)
    means = mean(mechanism, rng.standard_normal((5, 2)))[:, 0]
    np.testing.assert_allclose(means, means[0])
    assert means[0] == pytest.approx(0.0, abs=0.1)


def test_a_node_reads_its_parents_only(mechanism):
    cells = np.random.default_rng(1).standard_normal((5, 2))
    changed = cells.copy()
    changed[:, 1] += 10.0
    np.testing.assert_array_equal(mean(mechanism, cells)[:, 1], mean(mechanism, changed)[:, 1])


def test_same_seed_gives_the_same_mechanism(screen):
    fits = [fit(screen, seed=3, n_steps=5) for _ in range(2)]
    assert torch.equal(fits[0].inner, fits[1].inner)
    assert not torch.equal(fits[0].inner, fit(screen, seed=4, n_steps=5).inner)


def test_some_nodes_have_the_mean_they_have_among_all(mechanism):
    cells = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    which = torch.tensor([1])
    torch.testing.assert_close(mechanism.mean_of(which, cells), mechanism.mean(cells)[:, which])


def test_edge_weights_are_the_mean_slopes_over_the_cells(mechanism, screen):
    nodes = torch.tensor(screen[0], requires_grad=True)
    (slope,) = torch.autograd.grad(mechanism.mean(nodes)[:, 1].sum(), nodes)
    torch.testing.assert_close(mechanism.adjacency[:, 1], slope.mean(0))
