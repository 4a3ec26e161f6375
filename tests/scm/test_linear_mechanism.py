import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from scgim.scm import LinearMechanism, MechanismData, compute_total_effects

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


def test_it_is_acyclic_whatever_its_weights(mechanism):
    adjacency = mechanism.adjacency
    assert torch.equal(adjacency, adjacency.triu(1))
    assert not torch.linalg.matrix_power(adjacency, N_NODES).any()


def test_only_edges_from_earlier_nodes_are_learned():
    mechanism = LinearMechanism(3)
    mechanism.adjacency.sum().backward()
    assert torch.equal(mechanism.weight.grad, torch.ones(3, 3).triu(1))


def test_what_the_search_found_is_taken_over_as_it_is():
    weights = np.array([[0.0, 0.0], [0.5, 0.0]])
    none = np.zeros((1, 2), bool)
    data = MechanismData(
        values=np.full((1, 2), np.nan),
        condition=np.zeros(1, int),
        graph=weights != 0,
        is_shifted=none,
        is_replaced=none,
        linear_weights=weights,
        linear_offset=np.array([1.0, 2.0]),
        linear_noise_variance=np.array([4.0, 9.0]),
        seed=0,
    )
    mechanism = LinearMechanism(2).double()
    mechanism.fit(data)
    nodes = mechanism.solve(torch.zeros(2, dtype=torch.float64))
    assert nodes.tolist() == [2.0, 2.0]
    assert mechanism.noise_sd.tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    "old",
    [
        {"graph.weight": torch.ones(3, 3), "offset": torch.ones(3)},
        {
            "edge_weight": torch.eye(3)[[1, 2, 0]].triu(1),
            "linear": torch.eye(3)[[1, 2, 0]].triu(1),
            "offset": torch.ones(3),
            "noise_sd": torch.full((3,), 2.0),
            "inner": torch.zeros(3, 3, 0),
            "bias": torch.zeros(3, 0),
            "outer": torch.zeros(3, 0),
        },
    ],
    ids=["programs", "genes"],
)
def test_weights_of_the_first_release_are_read(old):
    mechanism = LinearMechanism(3)
    mechanism.load_state_dict(old)
    weight = old.get("linear", torch.ones(3, 3).triu(1))
    assert torch.equal(mechanism.adjacency, weight)
    assert torch.equal(mechanism.noise_sd, old.get("noise_sd", torch.ones(3)))
    again = LinearMechanism(3)
    again.load_state_dict(mechanism.state_dict())
    assert torch.equal(again.adjacency, weight)
