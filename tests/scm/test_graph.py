import pytest
import torch

from scgim.scm import compute_total_effects, find_generations


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


def test_parents_are_in_earlier_generations():
    is_edge = torch.zeros(5, 5, dtype=torch.bool)
    is_edge[2, 0] = is_edge[0, 3] = is_edge[2, 3] = is_edge[4, 3] = True
    generations = [group.tolist() for group in find_generations(is_edge)]
    assert generations == [[1, 2, 4], [0], [3]]


def test_a_full_order_has_one_node_in_each_generation(adjacency):
    assert torch.cat(find_generations(adjacency)).tolist() == list(range(5))
