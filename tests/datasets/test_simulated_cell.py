import numpy as np
import pytest

from scgim.datasets._simulated_cell import SimulatedCell, signed_uniform


def chain(*, saturating=False):
    """Node 1 -> node 0 with weight 2; one gene per node, loading 1."""
    return SimulatedCell(
        adjacency=np.array([[0.0, 0.0], [2.0, 0.0]]),
        order=np.array([1, 0]),
        loadings=np.eye(2),
        log_rate=np.zeros(2),
        inverse_dispersion=np.full(2, 1e6),
        saturating=saturating,
    )


def moved_by(cell, shift, cut=(0.0, 0.0)):
    shift, cut = np.atleast_2d(shift).astype(float), np.atleast_2d(cut).astype(float)
    moved = cell.sample_nodes(np.random.default_rng(0), shift, cut)
    return moved - cell.sample_nodes(np.random.default_rng(0), np.zeros_like(shift), cut)


def test_shift_of_a_parent_reaches_its_child_through_the_edge_weight():
    np.testing.assert_allclose(moved_by(chain(), (0.0, 1.5)), [[3.0, 1.5]])


def test_shift_of_a_child_leaves_its_parent_alone():
    np.testing.assert_allclose(moved_by(chain(), (1.5, 0.0)), [[1.5, 0.0]])


def test_cut_mechanism_hears_only_the_rest_of_its_parents():
    np.testing.assert_allclose(moved_by(chain(), (0.0, 1.5), cut=(1.0, 0.0)), [[0.0, 1.5]])
    np.testing.assert_allclose(moved_by(chain(), (0.0, 1.5), cut=(0.25, 0.0)), [[2.25, 1.5]])


def test_saturating_parents_enter_through_a_hyperbolic_tangent():
    cell, zero = chain(saturating=True), np.zeros((1, 2))
    nodes = cell.sample_nodes(np.random.default_rng(0), zero, zero)
    noise = 0.7 * np.random.default_rng(0).standard_normal((1, 2))
    expected = noise[0, 0] + 2 * 1.3 * np.tanh(1.2 * noise[0, 1])
    np.testing.assert_allclose(nodes, [[expected, noise[0, 1]]])


def test_counts_follow_softmax_times_library():
    nodes = np.tile([np.log(3.0), 0.0], (4000, 1))
    counts = chain().sample_counts(np.random.default_rng(0), nodes)
    np.testing.assert_allclose(counts[:, 0].sum() / counts.sum(), 0.75, atol=0.002)
    assert np.median(counts.sum(axis=1)) == pytest.approx(1000, rel=0.03)
    assert np.log(counts.sum(axis=1)).std() == pytest.approx(0.3, abs=0.03)


def test_drawn_graph_is_acyclic_in_its_order():
    cell = SimulatedCell.draw(np.random.default_rng(0), n_nodes=10, n_genes=5)
    ordered = cell.adjacency[np.ix_(cell.order, cell.order)]
    np.testing.assert_array_equal(np.tril(ordered), 0)
    assert np.count_nonzero(ordered) > 0


def test_edges_and_loadings_have_the_documented_sizes_and_shares():
    cell = SimulatedCell.draw(np.random.default_rng(0), n_nodes=60, n_genes=4000)
    weights = np.abs(cell.adjacency[cell.adjacency != 0])
    assert weights.min() >= 0.5
    assert weights.max() <= 1.0
    assert len(weights) / (60 * 59 / 2) == pytest.approx(0.35, abs=0.03)
    n_programs = np.count_nonzero(cell.loadings, axis=1)
    assert (n_programs == 0).mean() == pytest.approx(0.2, abs=0.02)
    assert (n_programs == 2).mean() == pytest.approx(0.25 * 0.8, abs=0.02)
    sizes = np.abs(cell.loadings[cell.loadings != 0])
    assert sizes.min() >= 0.2
    assert sizes.max() <= 0.7


def test_signed_uniform_draws_both_signs_inside_its_bounds():
    drawn = signed_uniform(np.random.default_rng(0), 0.5, 1.0, 1000)
    assert np.all((np.abs(drawn) >= 0.5) & (np.abs(drawn) <= 1.0))
    assert (drawn > 0).mean() == pytest.approx(0.5, abs=0.06)
