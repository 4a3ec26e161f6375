import numpy as np
import pytest
import torch
from scipy.stats import norm

from scgim.scm import (
    Intervention,
    LinearMechanism,
    compute_linear_mean,
    compute_log_densities,
    compute_total_effects,
    sample_nodes,
    scale_nodes,
    set_nodes,
    shift_nodes,
)

N_CELLS, N_NODES = 6, 4


def _normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def adjacency():
    return _normal(N_NODES, N_NODES, seed=0).triu(1)


@pytest.fixture
def offset():
    return _normal(N_NODES, seed=1)


@pytest.fixture
def noise():
    return _normal(N_CELLS, N_NODES, seed=2)


@pytest.fixture
def mixed():
    """A shift, a hard and a scale intervention at once, one per cell."""
    shift = shift_nodes(_normal(N_CELLS, N_NODES, seed=3))
    hard = set_nodes(torch.tensor([0.0, 0.0, 1.0, 0.0]), _normal(N_CELLS, N_NODES, seed=4), 0.5)
    return shift.then(hard).then(scale_nodes(_normal(N_CELLS, N_NODES, seed=5).exp()))


def _empty(*shape):
    return shift_nodes(torch.zeros(*shape, dtype=torch.float64))


def make_mechanism(adjacency):
    """Linear mechanisms without an offset, and with unit noise."""
    mechanism = LinearMechanism(N_NODES).double()
    with torch.no_grad():
        mechanism.is_edge.copy_(adjacency != 0)
        mechanism.weight.copy_(adjacency)
    return mechanism


def simulate(adjacency, offset, noise, intervention):
    return make_mechanism(adjacency).simulate(noise, intervention, offset)


def replay(adjacency, offset, nodes, intervention):
    return make_mechanism(adjacency).replay(nodes, intervention, offset)


def test_the_empty_intervention_is_the_control(adjacency, offset, noise):
    control = (offset + noise) @ compute_total_effects(adjacency)
    torch.testing.assert_close(simulate(adjacency, offset, noise, _empty(N_NODES)), control)


def test_the_empty_intervention_replays_every_cell_as_it_was(adjacency, offset, noise):
    torch.testing.assert_close(replay(adjacency, offset, noise, _empty(N_NODES)), noise)


def test_abduction_is_the_inverse_of_solving(adjacency, offset, noise):
    nodes = simulate(adjacency, offset, noise, _empty(N_NODES))
    torch.testing.assert_close(make_mechanism(adjacency).abduct(nodes, offset), noise)


def test_solution_follows_the_mechanisms_one_by_one(adjacency, offset, noise, mixed):
    nodes = torch.zeros_like(noise)
    for node in range(N_NODES):
        followed = nodes @ adjacency[:, node] + offset[node]
        nodes[:, node] = (1 - mixed.is_cut.expand_as(noise)[:, node]) * followed
        nodes[:, node] += mixed.shift[:, node] + mixed.noise_scale[:, node] * noise[:, node]
    torch.testing.assert_close(simulate(adjacency, offset, noise, mixed), nodes)


def test_interventions_per_cell_equal_one_cell_at_a_time(adjacency, offset, noise):
    hard = set_nodes((_normal(N_CELLS, N_NODES, seed=6) > 0).double(), noise.flip(0))
    together = simulate(adjacency, offset, noise, hard)
    for cell in range(N_CELLS):
        alone = hard[cell]
        one = simulate(adjacency, offset, noise[cell : cell + 1], alone)
        torch.testing.assert_close(together[cell : cell + 1], one)


def test_a_shift_moves_cells_by_its_total_effects(adjacency, offset, noise):
    shift = torch.tensor([0.0, 1.5, 0.0, 0.0], dtype=torch.float64)
    moved = replay(adjacency, offset, noise, shift_nodes(shift)) - noise
    expected = (shift @ compute_total_effects(adjacency)).expand_as(moved)
    torch.testing.assert_close(moved, expected)


def test_a_hard_intervention_makes_a_node_independent_of_its_parents(adjacency, offset, noise):
    target = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    hard = set_nodes(target, 3.0 * target, noise_scale=1.0)
    other_parents = noise.clone()
    other_parents[:, :2] += 5.0
    before = simulate(adjacency, offset, noise, hard)
    after = simulate(adjacency, offset, other_parents, hard)
    torch.testing.assert_close(after[:, 2], before[:, 2])
    torch.testing.assert_close(before[:, 2], 3.0 + noise[:, 2])
    # The children still follow the node.
    followed = before @ adjacency[:, 3] + offset[3] + noise[:, 3]
    torch.testing.assert_close(before[:, 3], followed)


def test_a_clamped_node_has_its_value_in_every_cell(adjacency, offset, noise):
    target = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    nodes = simulate(adjacency, offset, noise, set_nodes(target, -2.0 * target))
    torch.testing.assert_close(nodes[:, 1], torch.full((N_CELLS,), -2.0, dtype=torch.float64))


def test_scaling_the_noise_of_a_root_scales_its_spread(adjacency, noise):
    scale = torch.tensor([0.5, 1.0, 1.0, 1.0], dtype=torch.float64)
    nodes = simulate(adjacency, noise.new_zeros(N_NODES), noise, scale_nodes(scale))
    torch.testing.assert_close(nodes[:, 0], 0.5 * noise[:, 0])


def test_combined_shifts_add_and_their_order_is_free(adjacency, offset, noise):
    one = shift_nodes(_normal(N_NODES, seed=7))
    other = shift_nodes(_normal(N_NODES, seed=8))
    both = replay(adjacency, offset, noise, one.then(other)) - noise
    torch.testing.assert_close(both, replay(adjacency, offset, noise, other.then(one)) - noise)
    separately = replay(adjacency, offset, noise, one) + replay(adjacency, offset, noise, other)
    torch.testing.assert_close(both, separately - 2 * noise)


def test_relabelling_nodes_relabels_the_solution(adjacency, offset, noise, mixed):
    order = torch.tensor([2, 0, 3, 1])
    relabelled = mixed.map(lambda values: values[..., order])
    torch.testing.assert_close(
        simulate(adjacency[order][:, order], offset[order], noise[:, order], relabelled),
        simulate(adjacency, offset, noise, mixed)[:, order],
    )


def test_offsets_may_differ_between_cells(adjacency, offset, noise, mixed):
    per_cell = offset.expand(N_CELLS, -1)
    torch.testing.assert_close(
        simulate(adjacency, per_cell, noise, mixed),
        simulate(adjacency, offset, noise, mixed),
    )


def test_gradients_are_finite_under_a_clamp(adjacency, offset, noise):
    mechanism = make_mechanism(adjacency)
    target = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    mechanism.simulate(noise, set_nodes(target, target), offset).sum().backward()
    assert mechanism.weight.grad.isfinite().all()
    # No edge into a clamped node matters any more.
    assert torch.equal(mechanism.weight.grad[:, :2], torch.zeros(N_NODES, 2, dtype=torch.float64))


@pytest.fixture
def mechanism(adjacency, offset):
    mechanism = LinearMechanism(N_NODES).double().requires_grad_(requires_grad=False)
    mechanism.weight.copy_(adjacency)
    mechanism.offset.copy_(offset)
    mechanism.noise_sd.copy_(torch.tensor([1.0, 0.5, 2.0, 1.5]))
    return mechanism


@pytest.fixture
def possible():
    """Node 0 is perhaps shifted in the first condition, node 2 certainly set in the second."""
    zeros = torch.zeros(2, N_NODES, dtype=torch.float64)
    shift, is_cut, probability = zeros.clone(), zeros.clone(), zeros.clone()
    shift[0, 0], probability[0, 0] = 4.0, 0.3
    shift[1, 2], probability[1, 2], is_cut[1, 2] = -1.0, 1.0, 1.0
    return Intervention(shift, zeros + 0.5, is_cut, probability)


def test_cells_have_the_mean_of_the_intervened_model(mechanism, possible):
    cells = sample_nodes(mechanism, possible, 40_000, np.random.default_rng(0))
    mean = compute_linear_mean(mechanism, possible)
    error = cells.std(1) / np.sqrt(cells.shape[1])
    assert (np.abs(cells.mean(1) - mean) <= 4 * error).all()


def test_uncertain_targets_are_hit_as_often_as_they_say(mechanism, possible):
    cells = sample_nodes(mechanism, possible, 4000, np.random.default_rng(0))
    residual = mechanism.residual(torch.as_tensor(cells[0]))[:, 0]
    assert (residual > 2.5).double().mean().item() == pytest.approx(0.3, abs=0.03)


def test_log_densities_are_those_of_the_intervened_mechanisms(mechanism, possible):
    cells = np.random.default_rng(0).standard_normal((2, 3, N_NODES))
    kept, hit = compute_log_densities(mechanism, cells, possible)
    flat = cells.reshape(6, N_NODES)
    mean = (torch.as_tensor(flat) @ mechanism.adjacency + mechanism.offset).numpy()
    sd = mechanism.noise_sd.numpy()
    np.testing.assert_allclose(kept, norm.logpdf(flat, mean, sd))
    shifted = norm.logpdf(flat[:3, 0], mean[:3, 0] + 4.0, 0.5 * sd[0])
    np.testing.assert_allclose(hit[:3, 0], shifted)
    np.testing.assert_allclose(hit[3:, 2], norm.logpdf(flat[3:, 2], -1.0, 0.5 * sd[2]))
