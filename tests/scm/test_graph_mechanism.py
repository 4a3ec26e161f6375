import numpy as np
import pytest
import torch

from scgim.scm import (
    GraphMechanism,
    Intervention,
    LinearNodeMechanism,
    Mechanism,
    fit_mlp_mechanism,
    set_nodes,
    shift_nodes,
)

N_NODES = 4


@pytest.fixture
def linear():
    """Chain 2 → 0 → 3 and 2 → 3, whose causal order is not that of the columns."""
    weights = np.zeros((N_NODES, N_NODES))
    weights[2, 0], weights[0, 3], weights[2, 3] = 0.8, -1.0, 0.5
    fitted = LinearNodeMechanism(weights, np.array([0.1, 0.2, 0.3, 0.4]), np.full(N_NODES, 0.25))
    mechanism = GraphMechanism(N_NODES).double()
    mechanism.assign(fitted, np.zeros((1, N_NODES)))
    return mechanism


@pytest.fixture(scope="module")
def fitted_network():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, N_NODES))
    values[:, 0] += np.tanh(2 * values[:, 2])
    adjacency = np.zeros((N_NODES, N_NODES), bool)
    adjacency[2, 0] = adjacency[0, 3] = True
    none = np.zeros((1, N_NODES), bool)
    condition = np.zeros(len(values), int)
    fitted = fit_mlp_mechanism(
        values, condition, adjacency, is_shifted=none, is_replaced=none, seed=0, n_steps=60
    )
    return fitted, values


@pytest.fixture
def neural(fitted_network):
    mechanism = GraphMechanism(N_NODES, is_linear=False).double()
    mechanism.assign(*fitted_network)
    return mechanism


@pytest.fixture(params=["linear", "neural"])
def mechanism(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def noise():
    return torch.randn(9, N_NODES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _empty():
    return shift_nodes(torch.zeros(N_NODES, dtype=torch.float64))


def test_it_keeps_the_protocol_of_mechanisms(mechanism, noise):
    assert isinstance(mechanism, Mechanism)
    torch.testing.assert_close(mechanism.residual(mechanism.solve(noise)), noise)


def test_the_noise_of_a_cell_brings_it_back(mechanism, noise):
    cells = mechanism.push(noise, _empty())
    torch.testing.assert_close(mechanism.abduct(cells), noise)


def test_linear_shifts_add_up_over_all_paths(linear, noise):
    shift = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    moved = linear.push(noise, shift_nodes(shift)) - linear.push(noise, _empty())
    total = torch.linalg.inv(torch.eye(N_NODES, dtype=torch.float64) - linear.adjacency)
    torch.testing.assert_close(moved, total[2].expand_as(moved))


def test_a_node_that_is_set_ignores_its_parents_and_its_children_follow(mechanism, noise):
    mask = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    cells = mechanism.push(noise, set_nodes(mask, 2 * mask))
    assert (cells[:, 0] == 2).all()
    free = mechanism.push(noise, _empty())
    torch.testing.assert_close(cells[:, 1:3], free[:, 1:3])
    assert (cells[:, 3] != free[:, 3]).all()


def test_interventions_may_differ_between_cells_and_batches(mechanism, noise):
    shift = torch.arange(2 * N_NODES, dtype=torch.float64).reshape(2, 1, N_NODES)
    both = mechanism.push(noise, shift_nodes(shift))
    for row in range(2):
        torch.testing.assert_close(both[row], mechanism.push(noise, shift_nodes(shift[row, 0])))


def test_covariates_shift_the_baseline_but_not_of_nodes_that_are_cut(linear, noise):
    offset = torch.ones(N_NODES, dtype=torch.float64)
    mask = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    cut = set_nodes(mask, torch.zeros(N_NODES, dtype=torch.float64))
    assert (linear.push(noise, cut, offset)[:, 1] == 0).all()
    with_offset = linear.push(noise, _empty(), offset)
    torch.testing.assert_close(linear.abduct(with_offset, offset), noise)


def test_networks_give_what_was_fitted(neural, fitted_network):
    fitted, values = fitted_network
    means = np.column_stack([fitted.mean(node, values) for node in range(N_NODES)])
    np.testing.assert_allclose(neural.mean(torch.as_tensor(values)), means, atol=1e-5)
    assert (neural.adjacency != 0).nonzero().tolist() == [[0, 3], [2, 0]]


def test_half_a_cut_keeps_half_of_the_mechanism(linear, noise):
    half = Intervention(
        shift=torch.zeros(N_NODES, dtype=torch.float64),
        noise_scale=torch.ones(N_NODES, dtype=torch.float64),
        is_cut=torch.tensor([0.5, 0, 0, 0], dtype=torch.float64),
    )
    free = linear.push(noise, _empty())
    mean = linear.mean(free)[:, 0]
    torch.testing.assert_close(linear.push(noise, half)[:, 0], free[:, 0] - 0.5 * mean)
