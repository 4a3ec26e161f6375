import networkx as nx
import numpy as np
import pytest

from scgim.datasets._causal_cell import CausalCell, draw_graph, topological_order


@pytest.mark.parametrize("kind", ["er1", "er2", "sf2"])
def test_graph_has_no_cycle_and_the_expected_number_of_edges(kind):
    graphs = [draw_graph(np.random.default_rng(seed), kind, 20) for seed in range(50)]
    for graph in graphs:
        assert nx.is_directed_acyclic_graph(nx.from_numpy_array(graph, create_using=nx.DiGraph))
    expected = {"er1": 20, "er2": 40, "sf2": 36}[kind]
    assert abs(np.mean([graph.sum() for graph in graphs]) - expected) < 3


def test_parents_come_first_in_the_order():
    graph = draw_graph(np.random.default_rng(0), "er2", 10)
    position = np.argsort(topological_order(graph))
    parents, children = np.nonzero(graph)
    assert (position[parents] < position[children]).all()


@pytest.mark.parametrize("mechanism", ["linear", "mlp"])
def test_nodes_have_mean_zero_and_unit_variance_without_intervention(mechanism):
    cell = CausalCell.draw(np.random.default_rng(0), graph="er2", mechanism=mechanism, n_nodes=12)
    none = np.zeros((20_000, 12))
    nodes = cell.sample(np.random.default_rng(1), none, none > 0)
    np.testing.assert_allclose(nodes.mean(axis=0), 0.0, atol=0.1)
    np.testing.assert_allclose(nodes.std(axis=0), 1.0, atol=0.05)


def test_linear_weights_reproduce_the_samples():
    cell = CausalCell.draw(np.random.default_rng(0), graph="er2", mechanism="linear", n_nodes=8)
    none = np.zeros((20_000, 8))
    nodes = cell.sample(np.random.default_rng(1), none, none > 0)
    residual = nodes - nodes @ cell.weights
    expected = [mechanism.noise_sd for mechanism in cell.mechanisms]
    np.testing.assert_allclose(residual.std(axis=0), expected, rtol=0.03)
    correlation = np.corrcoef(residual.T) - np.eye(8)
    assert np.abs(correlation).max() < 0.04


def test_hard_intervention_makes_a_node_independent_of_its_parents():
    cell = CausalCell.draw(np.random.default_rng(0), graph="er2", mechanism="mlp", n_nodes=8)
    child = int(cell.is_edge.sum(axis=0).argmax())
    cut = np.zeros((20_000, 8), dtype=bool)
    cut[:, child] = True
    shift = 2.0 * cut
    nodes = cell.sample(np.random.default_rng(1), shift, cut)
    parents = np.flatnonzero(cell.is_edge[:, child])
    correlation = np.corrcoef(nodes[:, [child, *parents]].T)[0, 1:]
    assert np.abs(correlation).max() < 0.03
    assert nodes[:, child].mean() == pytest.approx(2.0, abs=0.02)
    assert nodes[:, child].std() == pytest.approx(0.5 * cell.mechanisms[child].noise_sd, rel=0.03)
