from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures.mechanisms import Quadratic, Saturating

from scgim.scm import (
    Intervention,
    LinearMechanism,
    Mechanism,
    MechanismData,
    MLPMechanism,
    set_nodes,
    shift_nodes,
)

N_NODES = 4


class Cyclic(Saturating):
    def parent_effect(self, nodes):
        return torch.tanh(nodes) @ self.weight


class Exploding(Saturating):
    def parent_effect(self, nodes):
        return torch.exp(nodes.square() * 100) @ (self.weight * self.is_edge)


def make_data(n_nodes=N_NODES, seed=0):
    """0 = tanh(2 * node 2) + noise, 3 follows 0 linearly; the first node is shifted in condition 1."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(600, n_nodes))
    condition = np.repeat([0, 1], [400, 200])
    values[:, 0] += np.tanh(values[:, 2]) + 3.0 * (condition == 1)
    values[:, 3] += 0.2 * np.tanh(values[:, 0])
    graph = np.zeros((n_nodes, n_nodes), bool)
    graph[2, 0] = graph[0, 3] = True
    none = np.zeros((2, n_nodes), bool)
    is_shifted = none.copy()
    is_shifted[1, 0] = True
    return MechanismData(
        values=values,
        condition=condition,
        graph=graph,
        is_shifted=is_shifted,
        is_replaced=none,
        linear_weights=0.5 * graph,
        linear_offset=np.arange(n_nodes) / 10,
        linear_noise_variance=np.full(n_nodes, 0.25),
        seed=seed,
    )


KINDS = {"linear": LinearMechanism, "mlp": MLPMechanism, "outside": Saturating}


@pytest.fixture(scope="module")
def fitted():
    mechanisms = {name: kind(N_NODES).double() for name, kind in KINDS.items()}
    for mechanism in mechanisms.values():
        mechanism.fit(make_data())
        mechanism.requires_grad_(requires_grad=False)
    return mechanisms


@pytest.fixture(params=list(KINDS))
def mechanism(request, fitted):
    return fitted[request.param]


@pytest.fixture
def linear(fitted):
    return fitted["linear"]


@pytest.fixture
def noise():
    return torch.randn(9, N_NODES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _empty():
    return shift_nodes(torch.zeros(N_NODES, dtype=torch.float64))


def test_residual_and_solve_undo_each_other(mechanism, noise):
    torch.testing.assert_close(mechanism.residual(mechanism.solve(noise)), noise)


def test_the_noise_of_a_cell_brings_it_back(mechanism, noise):
    cells = mechanism.simulate(noise, _empty())
    torch.testing.assert_close(mechanism.abduct(cells), noise)


def test_linear_shifts_add_up_over_all_paths(linear, noise):
    shift = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    moved = linear.simulate(noise, shift_nodes(shift)) - linear.simulate(noise, _empty())
    total = torch.linalg.inv(torch.eye(N_NODES, dtype=torch.float64) - linear.adjacency)
    torch.testing.assert_close(moved, total[2].expand_as(moved))


def test_a_node_that_is_set_ignores_its_parents_and_its_children_follow(mechanism, noise):
    mask = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    cells = mechanism.simulate(noise, set_nodes(mask, 2 * mask))
    assert (cells[:, 0] == 2).all()
    free = mechanism.simulate(noise, _empty())
    torch.testing.assert_close(cells[:, 1:3], free[:, 1:3])
    assert (cells[:, 3] != free[:, 3]).all()


def test_interventions_may_differ_between_cells_and_batches(mechanism, noise):
    shift = torch.arange(2 * N_NODES, dtype=torch.float64).reshape(2, 1, N_NODES)
    both = mechanism.simulate(noise, shift_nodes(shift))
    for row in range(2):
        torch.testing.assert_close(both[row], mechanism.simulate(noise, shift_nodes(shift[row, 0])))


def test_covariates_shift_the_baseline_but_not_of_nodes_that_are_cut(linear, noise):
    offset = torch.ones(N_NODES, dtype=torch.float64)
    mask = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    cut = set_nodes(mask, torch.zeros(N_NODES, dtype=torch.float64))
    assert (linear.simulate(noise, cut, offset)[:, 1] == 0).all()
    with_offset = linear.simulate(noise, _empty(), offset)
    torch.testing.assert_close(linear.abduct(with_offset, offset), noise)


def test_half_a_cut_keeps_half_of_the_mechanism(linear, noise):
    half = Intervention(
        shift=torch.zeros(N_NODES, dtype=torch.float64),
        noise_scale=torch.ones(N_NODES, dtype=torch.float64),
        is_cut=torch.tensor([0.5, 0, 0, 0], dtype=torch.float64),
    )
    free = linear.simulate(noise, _empty())
    mean = linear.mean(free)[:, 0]
    torch.testing.assert_close(linear.simulate(noise, half)[:, 0], free[:, 0] - 0.5 * mean)


def test_noise_of_all_nodes_is_pushed_in_its_own_units(mechanism, noise):
    cells = mechanism.simulate(noise, _empty())
    torch.testing.assert_close(mechanism.residual(cells), noise * mechanism.noise_sd)


def test_a_node_reads_its_parents_only(mechanism, noise):
    moved = noise.clone()
    moved[:, [0, 1, 3]] += 5.0
    change = mechanism.mean(moved) - mechanism.mean(noise)
    assert not change[:, :3].any()
    assert change[:, 3].all()


def test_edge_weights_stand_where_the_graph_has_edges(mechanism):
    assert (mechanism.adjacency != 0).nonzero().tolist() == [[0, 3], [2, 0]]


def test_float32_comes_back_as_float32(mechanism, noise):
    single = noise.float()
    for result in (
        mechanism.residual(single),
        mechanism.solve(single),
        mechanism.abduct(single),
        mechanism.simulate(single, shift_nodes(torch.zeros(N_NODES))),
    ):
        assert result.dtype == torch.float32


def test_gradients_pass_through_simulated_cells(mechanism, noise):
    shift = torch.zeros(N_NODES, dtype=torch.float64, requires_grad=True)
    mechanism.simulate(noise, shift_nodes(shift))[:, 3].sum().backward()
    assert (shift.grad != 0).tolist() == [True, False, True, True]


def test_a_mechanism_from_outside_learns_what_made_the_cells(fitted):
    mechanism = fitted["outside"]
    assert mechanism.weight[2, 0].item() == pytest.approx(1.0, abs=0.15)
    assert mechanism.weight[0, 3].item() == pytest.approx(0.2, abs=0.1)
    torch.testing.assert_close(mechanism.noise_sd, torch.ones(N_NODES).double(), atol=0.08, rtol=0)
    assert mechanism.offset[0].item() == pytest.approx(0.0, abs=0.15)


def test_parabolas_are_fitted_without_a_fit_of_their_own():
    data = make_data()
    values = data.values.copy()
    values[:, 3] = 0.5 * values[:, 0].clip(-4, 4) ** 2 + np.random.default_rng(1).normal(
        size=len(values)
    )
    mechanism = Quadratic(N_NODES).double().requires_grad_(requires_grad=False)
    mechanism.fit(replace(data, values=values))
    nodes = torch.zeros(2, N_NODES, dtype=torch.float64)
    nodes[:, 0] = torch.tensor([-1.0, 3.0])
    torch.testing.assert_close(
        mechanism.mean(nodes)[:, 3], torch.tensor([0.5, 4.5]).double(), atol=0.3, rtol=0
    )


def test_a_fit_does_not_depend_on_the_one_before():
    mechanism = Saturating(N_NODES).double()
    mechanism.fit(make_data(seed=1))
    mechanism.fit(make_data())
    once = Saturating(N_NODES).double()
    once.fit(make_data())
    torch.testing.assert_close(mechanism.state_dict(), once.state_dict(), rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in once.parameters())


def test_reading_a_node_that_is_no_parent_is_refused():
    with pytest.raises(ValueError, match=r"lets node \d follow node \d, which is not its parent"):
        Cyclic(N_NODES).double().fit(make_data())


def test_a_fit_that_diverges_is_refused():
    with pytest.raises(RuntimeError, match="has parameters that are not finite"):
        Exploding(N_NODES).double().fit(make_data())


def test_the_sampled_divergence_is_on_average_the_one_in_closed_form(noise):
    mechanism = LinearMechanism(N_NODES).double().requires_grad_(requires_grad=False)
    mechanism.weight.normal_(generator=torch.Generator().manual_seed(2))
    variance, shift = noise.flip(0).exp(), noise.flip(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        many = (values.expand(4000, -1, -1) for values in (noise, variance, shift))
        draws = Mechanism.divergence(mechanism, *many)
    error = draws.std(0) / 4000**0.5
    exact = mechanism.divergence(noise, variance, shift)
    assert ((draws.mean(0) - exact).abs() < 4 * error).all()


def test_what_parents_do_must_be_said():
    with pytest.raises(TypeError, match="parent_effect"):
        Mechanism(3)
