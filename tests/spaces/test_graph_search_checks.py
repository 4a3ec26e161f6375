import numpy as np
import pytest

from scgim.benchmark._genes import check_gradient_world
from scgim.spaces._genes_space import (
    warn_if_graph_explains_nothing,
    warn_if_stopped,
    warn_if_targets_agree,
)
from scgim.spaces._graph_search_checks import (
    check_are_nodes,
    check_are_perturbations,
    check_edge_table,
    check_prior_edges,
)
from scgim.spaces._latent_space import check_no_search

NAMES = ["STAT1", "JAK2", "IRF1"]


def edges(*pairs):
    matrix = np.zeros((3, 3), dtype=bool)
    for pair in pairs:
        matrix[pair] = True
    return matrix


def test_reasonable_knowledge_passes():
    check_prior_edges(edges((0, 1)), edges((1, 2)), NAMES)
    check_are_nodes("known_targets", ["JAK2"], NAMES)
    check_gradient_world("linear", "shift")


def test_edge_both_required_and_forbidden_is_named():
    with pytest.raises(ValueError, match="'STAT1 → JAK2' are both required and forbidden"):
        check_prior_edges(edges((0, 1)), edges((0, 1)), NAMES)


def test_required_cycle_is_named():
    with pytest.raises(ValueError, match="close a cycle through 'STAT1', 'JAK2'"):
        check_prior_edges(edges(), edges((0, 1), (1, 0)), NAMES)


def test_known_target_that_is_no_node_is_named_with_the_closest():
    with pytest.raises(ValueError, match=r"`known_targets` names 'STAT2'.*closest.*STAT1"):
        check_are_nodes("known_targets", ["STAT2"], NAMES)


@pytest.mark.parametrize("world", [("mlp", "shift"), ("linear", "hard")])
def test_other_worlds_are_refused_with_what_to_do(world):
    with pytest.raises(ValueError, match=r"knows linear mechanisms and shifts only\. Leave"):
        check_gradient_world(*world)


def test_same_targets_everywhere_are_warned_of():
    with pytest.warns(UserWarning, match=r"All 2 perturbations have the same targets \('JAK2'\)"):
        warn_if_targets_agree(np.array([[0, 1, 0], [0, 1, 0]], dtype=bool), NAMES)
    warn_if_targets_agree(np.array([[0, 1, 0], [1, 1, 0]], dtype=bool), NAMES)


def test_stopped_search_is_said_to_keep_the_best():
    with pytest.warns(UserWarning, match="stopped after 3 of 41 climbs"):
        warn_if_stopped(3, 40, was_stopped=True)
    warn_if_stopped(41, 40, was_stopped=False)


def test_a_search_is_for_named_genes():
    check_no_search(None, "programs")
    message = (
        r"^`search` says how to find a graph of named genes, but this model has "
        r"`causal_space='programs'`\. Leave it out, or build the model with "
        r"`causal_space='genes'`\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_no_search(object(), "programs")


def test_edges_are_tables_or_pairs():
    check_edge_table("edges", columns=["source", "target", "weight"])
    check_edge_table("edges", pairs=[("a", "b")])
    message = (
        r"^`search\.edges` has no column 'target'; its columns are \['source', 'to'\]\. Edges are a "
        r"DataFrame with the columns 'source' and 'target', or pairs\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_edge_table("edges", columns=["source", "to"])
    message = (
        r"^`search\.edges` has \('a',\), which is not a pair \(source, target\)\. Edges are a "
        r"DataFrame with the columns 'source' and 'target', or pairs\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_edge_table("edges", pairs=[("a", "b"), ("a",)])


def test_known_targets_belong_to_perturbations_of_the_screen():
    check_are_perturbations("search.known_targets", ["ko_a"], ["ko_a", "ko_b"])
    message = (
        r"^`search\.known_targets` names 'ko_c', which the screen did not run\. The perturbations "
        r"closest to 'ko_c' are \['ko_b', 'ko_a'\]\. Correct the names, or leave them out\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_are_perturbations("search.known_targets", ["ko_c"], ["ko_a", "ko_b"])


@pytest.mark.parametrize(
    ("explained", "words"), [(0.12, r"0\.12 of it"), (-np.inf, "too little shift to say")]
)
def test_a_graph_that_explains_nothing_ranks_no_targets(explained, words):
    warn_if_graph_explains_nothing(0.8, uses_graph=True)
    message = (
        rf"^On held-out cells genes do not demonstrably explain the shifts of other genes \({words}\), "
        r"so `evidence` ranks targets by how much a gene moved, not by how much it moved by itself\. "
        r"Read the columns `marginal` and `residual` of `get_intervention_targets`\.$"
    )
    with pytest.warns(UserWarning, match=message):
        warn_if_graph_explains_nothing(explained, uses_graph=False)
