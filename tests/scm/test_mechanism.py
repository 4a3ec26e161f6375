import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from scgim.scm import LinearMechanism, Mechanism, compute_total_effects

N_NODES = 4


@pytest.fixture
def mechanism():
    generator = torch.Generator().manual_seed(0)
    mechanism = LinearMechanism(N_NODES).double()
    for parameter in mechanism.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return mechanism


@pytest.fixture
def cells():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(7, N_NODES, generator=generator, dtype=torch.float64)


def test_linear_mechanism_keeps_the_protocol(mechanism):
    assert isinstance(mechanism, Mechanism)


def test_residual_and_solve_are_inverses(mechanism, cells):
    torch.testing.assert_close(mechanism.residual(mechanism.solve(cells)), cells)
    torch.testing.assert_close(mechanism.solve(mechanism.residual(cells)), cells)


def test_solve_follows_the_parents_one_by_one(mechanism, cells):
    nodes = torch.zeros_like(cells)
    for node in range(N_NODES):
        nodes[:, node] = nodes @ mechanism.adjacency[:, node] + mechanism.offset[node]
        nodes[:, node] += cells[:, node]
    torch.testing.assert_close(mechanism.solve(cells), nodes)


def test_exogenous_input_moves_descendants_and_nothing_before(mechanism, cells):
    pushed = cells.clone()
    pushed[:, 2] += 1.0
    change = mechanism.solve(pushed) - mechanism.solve(cells)
    assert torch.equal(change[:, :2], torch.zeros(7, 2, dtype=torch.float64))
    torch.testing.assert_close(change[:, 2], torch.ones(7, dtype=torch.float64))
    torch.testing.assert_close(change[:, 3], mechanism.adjacency[2, 3].expand(7))


def test_divergence_is_that_of_multivariate_normals(mechanism, cells):
    variance = cells.exp()
    shift = cells.flip(0)
    effects = compute_total_effects(mechanism.adjacency)
    posterior = MultivariateNormal(cells, torch.diag_embed(variance))
    prior = MultivariateNormal((mechanism.offset + shift) @ effects, effects.T @ effects)
    torch.testing.assert_close(
        mechanism.divergence(cells, variance, shift), kl_divergence(posterior, prior)
    )


def test_divergence_of_the_unlinked_model_from_itself_is_zero():
    mechanism = LinearMechanism(2)
    shift = torch.tensor([[1.0, -2.0]])
    assert mechanism.divergence(shift, torch.ones(1, 2), shift).item() == 0


def test_gradients_of_the_divergence_are_finite(mechanism, cells):
    mechanism.divergence(cells, cells.exp(), torch.zeros_like(cells)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in mechanism.parameters())
    assert mechanism.offset.grad.abs().sum() > 0
