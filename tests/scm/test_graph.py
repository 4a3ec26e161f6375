import pytest
import torch

from scgim.scm import OrderedGraph, compute_total_effects


@pytest.fixture
def adjacency():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, 5, generator=generator, dtype=torch.float64).triu(1)


def test_total_effects_of_a_chain_are_the_products_along_it():
    chain = torch.zeros(4, 4)
    chain[0, 1], chain[1, 2], chain[2, 3] = 2.0, -3.0, 0.5
    expected = torch.tensor(
        [[1.0, 2.0, -6.0, -3.0], [0.0, 1.0, -3.0, -1.5], [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.0, 1.0]]
    )
    torch.testing.assert_close(compute_total_effects(chain), expected)


def test_total_effects_sum_over_all_paths(adjacency):
    series = sum(torch.linalg.matrix_power(adjacency, n) for n in range(5))
    torch.testing.assert_close(compute_total_effects(adjacency), series)


def test_relabelling_nodes_relabels_total_effects(adjacency):
    order = torch.tensor([3, 0, 4, 1, 2])
    relabelled = compute_total_effects(adjacency[order][:, order])
    torch.testing.assert_close(relabelled, compute_total_effects(adjacency)[order][:, order])


def test_total_effects_of_many_graphs_are_those_of_each(adjacency):
    stacked = compute_total_effects(torch.stack([adjacency, 2 * adjacency]))
    torch.testing.assert_close(stacked[0], compute_total_effects(adjacency))
    torch.testing.assert_close(stacked[1], compute_total_effects(2 * adjacency))


def test_ordered_graph_is_acyclic_whatever_its_weights():
    graph = OrderedGraph(4)
    torch.nn.init.normal_(graph.weight)
    adjacency = graph.adjacency
    assert torch.equal(adjacency, adjacency.triu(1))
    assert torch.equal(torch.linalg.matrix_power(adjacency, 4), torch.zeros(4, 4))


def test_only_edges_from_earlier_nodes_are_learned():
    graph = OrderedGraph(3)
    graph.adjacency.sum().backward()
    assert torch.equal(graph.weight.grad, torch.ones(3, 3).triu(1))
