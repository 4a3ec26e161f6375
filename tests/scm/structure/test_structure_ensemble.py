import itertools

import networkx as nx
import numpy as np
import pytest
from scipy.special import expit

from scgim.scm._sufficient_statistics import compute_sufficient_statistics
from scgim.scm.structure._prior_knowledge import PriorKnowledge
from scgim.scm.structure._structure_ensemble import (
    average_structures,
    compute_edge_evidence,
    compute_reach,
    list_moves,
)
from scgim.scm.structure._structure_score import StructureScore
from scgim.scm.structure._structure_search import StructureSearch

NONE = np.zeros((3, 3), dtype=bool)


def graph(*edges, n_nodes=3):
    adjacency = np.zeros((n_nodes, n_nodes), dtype=bool)
    for edge in edges:
        adjacency[edge] = True
    return adjacency


def all_graphs(n_nodes):
    pairs = list(itertools.permutations(range(n_nodes), 2))
    for chosen in itertools.product([False, True], repeat=len(pairs)):
        adjacency = graph(*itertools.compress(pairs, chosen), n_nodes=n_nodes)
        if nx.is_directed_acyclic_graph(nx.from_numpy_array(adjacency, create_using=nx.DiGraph)):
            yield adjacency


@pytest.fixture(scope="module")
def search():
    """Few cells, so that many graphs are about as good; node 0 is shifted by the one perturbation."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal((60, 3))
    condition = np.repeat([0, 1], 30)
    values[:, 0] += 1.5 * condition
    values[:, 1] += 0.5 * values[:, 0]
    values[:, 2] += 0.45 * values[:, 1]
    statistics = compute_sufficient_statistics(values, condition, np.array([-1, 0]))
    score = StructureScore(statistics, PriorKnowledge.none(3, 1))
    return StructureSearch(score, ~np.eye(3, dtype=bool), NONE)


def test_walk_has_the_probabilities_of_counting_all_graphs(search):
    graphs = list(all_graphs(3))
    assert len(graphs) == 25
    scores = np.array([search.total(one) for one in graphs])
    weight = np.exp(scores.min() - scores)
    weight /= weight.sum()
    edges = (weight[:, None, None] * np.array(graphs)).sum(axis=0)
    evidence = np.array([search.target_evidence(one) for one in graphs])
    targets = (weight[:, None, None] * expit(evidence)).sum(axis=0)
    best = graphs[int(scores.argmin())]
    found = average_structures(search, [best], np.random.default_rng(0), n_steps=4000)
    np.testing.assert_allclose(found.edge_probability, edges, atol=0.03)
    np.testing.assert_allclose(found.target_probability, targets, atol=0.03)


def test_edge_evidence_weighs_the_edge_against_none_and_the_reverse(search):
    chain = graph((0, 1), (1, 2))
    evidence = compute_edge_evidence(chain, *search.families(chain), NONE)
    others = [graph((1, 2)), chain, graph((1, 0), (1, 2))]
    scores = np.array([search.total(one) for one in others])
    share = np.exp(scores.min() - scores)
    assert expit(evidence[0, 1]) == pytest.approx(share[1] / share.sum())
    # 2 → 0 would close a cycle.
    assert evidence[2, 0] < -900


def test_a_graph_that_far_worse_starts_lead_to_does_not_count(search):
    graphs = list(all_graphs(3))
    scores = np.array([search.total(one) for one in graphs])
    best, worst = graphs[int(scores.argmin())], graphs[int(scores.argmax())]
    one = average_structures(search, [best], np.random.default_rng(0), n_steps=50)
    both = average_structures(search, [best, worst], np.random.default_rng(0), n_steps=50)
    assert scores.max() - scores.min() > 10
    np.testing.assert_allclose(one.edge_probability, both.edge_probability)


def test_required_edges_are_certain(search):
    required = graph((2, 0))
    bound = StructureSearch(search.score, search.is_candidate, required)
    found = average_structures(bound, [required], np.random.default_rng(0), n_steps=200)
    assert found.edge_probability[2, 0] == pytest.approx(1.0)
    assert found.edge_probability[0, 2] == pytest.approx(0.0)


def test_moves_never_close_a_cycle():
    chain = graph((0, 1), (1, 2), (0, 2))
    moves = list_moves(chain, np.zeros((3, 3)), NONE)
    assert np.isinf(moves.adding).all()
    assert np.argwhere(np.isfinite(moves.removing)).tolist() == [[0, 1], [0, 2], [1, 2]]
    # Turning 0 → 2 around would leave 0 → 1 → 2 → 0.
    assert np.argwhere(np.isfinite(moves.turning)).tolist() == [[0, 1], [1, 2]]


def test_reach_follows_paths_of_any_length():
    chain = np.eye(5, k=1, dtype=bool)
    np.testing.assert_array_equal(compute_reach(chain), np.triu(np.ones((5, 5), dtype=bool)))
