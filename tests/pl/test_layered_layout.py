import networkx as nx
import numpy as np
import pytest

from scgim.pl._layered_layout import count_crossings, layered_layout


@pytest.fixture
def random_dag():
    rng = np.random.default_rng(0)
    upper = np.triu(rng.random((60, 60)) < 0.04, 1)
    graph = nx.from_numpy_array(upper, create_using=nx.DiGraph)
    return nx.relabel_nodes(graph, str)


def test_parents_stand_left_of_children(random_dag):
    positions = layered_layout(random_dag).positions
    assert all(positions[parent][0] < positions[child][0] for parent, child in random_dag.edges)


def test_no_two_nodes_share_a_place(random_dag):
    positions = list(layered_layout(random_dag).positions.values())
    distance = np.abs(np.subtract.outer(positions, positions)[:, [0, 1], :, [0, 1]]).sum(axis=0)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 0.01
    assert all(0.0 <= y <= 1.0 for _, y in positions)


def test_long_edges_pass_every_layer_between_away_from_its_nodes(random_dag):
    layout = layered_layout(random_dag)
    for (parent, child), route in layout.routes.items():
        ends = (layout.positions[parent][0], layout.positions[child][0])
        layers = [x for x, _ in route]
        assert len(layers) == len(set(layers)) >= 1
        assert ends[0] < min(layers) <= max(layers) < ends[1]
        for x, y in route:
            others = [place[1] for place in layout.positions.values() if place[0] == x]
            assert min(abs(y - other) for other in others) > 0.005


def test_crossings_of_two_swapped_edges_are_one():
    chain = nx.DiGraph([("a", "d"), ("b", "c")])
    assert count_crossings([["a", "b"], ["c", "d"]], chain) == 1
    assert count_crossings([["a", "b"], ["d", "c"]], chain) == 0


def test_layout_untangles_a_graph_that_needs_no_crossing():
    graph = nx.DiGraph([("a", "z"), ("b", "y"), ("c", "x")])
    positions = layered_layout(graph).positions
    heights = [(positions[parent][1], positions[child][1]) for parent, child in graph.edges]
    assert [sorted(heights)[i][1] for i in range(3)] == sorted(child for _, child in heights)


def test_nodes_without_edges_stand_below_the_others():
    graph = nx.DiGraph([("a", "b")])
    graph.add_nodes_from(["lone", "lonely"])
    positions = layered_layout(graph).positions
    assert max(positions["lone"][1], positions["lonely"][1]) < min(
        positions["a"][1], positions["b"][1]
    )


def test_graph_without_edges_is_a_grid():
    graph = nx.empty_graph(14, create_using=nx.DiGraph)
    layout = layered_layout(nx.relabel_nodes(graph, str))
    assert len(set(layout.positions.values())) == 14
    assert layout.n_layers == 6
