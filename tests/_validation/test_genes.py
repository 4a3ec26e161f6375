import numpy as np
import pytest

from scgim._validation._genes import (
    check_are_nodes,
    check_gradient_world,
    check_node_number,
    check_nodes_vary,
    check_prior_edges,
    warn_if_stopped,
    warn_if_targets_agree,
)

NAMES = ["STAT1", "JAK2", "IRF1"]


def edges(*pairs):
    matrix = np.zeros((3, 3), dtype=bool)
    for pair in pairs:
        matrix[pair] = True
    return matrix


def draw():
    return np.random.default_rng(0).standard_normal((50, 3))


def test_reasonable_data_pass():
    check_node_number(20, 1000, 300)
    check_nodes_vary(draw(), NAMES)
    check_prior_edges(edges((0, 1)), edges((1, 2)), NAMES)
    check_are_nodes("known_targets", ["JAK2"], NAMES)
    check_gradient_world("linear", "shift")


def test_too_many_nodes_are_told_what_to_do():
    with pytest.raises(ValueError, match=r"2,000 nodes, .*at most 300.*causal_space='programs'"):
        check_node_number(2000, 10_000, 300)


def test_fewer_cells_than_nodes_are_counted():
    with pytest.raises(ValueError, match="30 cells for 40 nodes"):
        check_node_number(40, 30, 300)


def test_constant_gene_is_named():
    values = draw()
    values[:, 1] = 4.0
    with pytest.raises(ValueError, match="'JAK2' do not vary"):
        check_nodes_vary(values, NAMES)


def test_collinear_genes_are_named_and_others_are_not():
    values = draw()
    values[:, 2] = 3 * values[:, 0] + 1
    with pytest.raises(ValueError, match="perfectly collinear") as error:
        check_nodes_vary(values, NAMES)
    assert "'STAT1'" in str(error.value)
    assert "'IRF1'" in str(error.value)
    assert "JAK2" not in str(error.value)


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
