import numpy as np
import pytest

from scgim import metrics

CHAIN = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])  # 0 -> 1 -> 2


def test_target_average_precision_is_pooled_over_perturbations():
    # ranks of the two targets are 1 and 3: (1/1 + 2/3) / 2
    score = metrics.target_average_precision([[0.9, 0.5], [0.4, 0.1]], [[1, 0], [1, 0]])
    assert score == pytest.approx((1 + 2 / 3) / 2)


def test_target_average_precision_without_targets_is_refused():
    with pytest.raises(ValueError, match="`is_target` is true nowhere"):
        metrics.target_average_precision([[0.9]], [[False]])


def test_graph_average_precision_uses_size_and_direction():
    assert metrics.graph_average_precision(-2.0 * CHAIN, CHAIN) == 1
    reversed_weight = CHAIN.T + np.array([[0, 0.2, 0], [0, 0, 0.1], [0, 0, 0]])
    # two wrong edges first, then the two right ones: (1/3 + 2/4) / 2
    assert metrics.graph_average_precision(reversed_weight, CHAIN) == pytest.approx(5 / 12)


def test_graph_average_precision_ignores_the_diagonal():
    assert metrics.graph_average_precision(CHAIN + 9 * np.eye(3), CHAIN) == 1


def test_edge_f1_of_one_right_one_wrong_one_missing():
    estimated = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]])
    assert metrics.edge_f1(estimated, CHAIN) == pytest.approx(0.5)
    assert metrics.edge_f1(np.zeros((3, 3)), CHAIN) == 0


def test_structural_hamming_distance_counts_a_reversed_edge_once():
    assert metrics.structural_hamming_distance(CHAIN, CHAIN) == 0
    turned = np.array([[0, 0, 0], [1, 0, 1], [0, 0, 0]])
    assert metrics.structural_hamming_distance(turned, CHAIN) == 1
    assert metrics.structural_hamming_distance(np.zeros((3, 3)), CHAIN) == 2


@pytest.fixture
def nodes():
    return np.random.default_rng(0).normal(size=(500, 3))


def test_matching_undoes_a_permutation_with_signs_and_scales(nodes):
    matching = metrics.match_nodes(nodes[:, [2, 0, 1]] * [-5.0, 1.0, -0.1] + 3, nodes)
    np.testing.assert_array_equal(matching.index, [1, 2, 0])
    np.testing.assert_array_equal(matching.sign, [1, -1, -1])
    assert matching.mean_correlation == pytest.approx(1)


def test_aligned_targets_and_graph_are_in_the_order_of_the_truth(nodes):
    order = [2, 0, 1]
    matching = metrics.match_nodes(-nodes[:, order], nodes)
    shifts = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(matching.align_columns(shifts[:, order]), shifts)
    np.testing.assert_array_equal(matching.align_columns(shifts[:, order], signed=True), -shifts)
    np.testing.assert_array_equal(matching.align_graph(CHAIN[np.ix_(order, order)]), CHAIN)


def test_spare_estimated_nodes_are_left_out(nodes):
    spare = np.random.default_rng(1).normal(size=(500, 2))
    matching = metrics.match_nodes(np.column_stack([spare, nodes]), nodes)
    np.testing.assert_array_equal(matching.index, [2, 3, 4])


def test_true_node_without_a_partner_counts_as_not_found(nodes):
    matching = metrics.match_nodes(nodes[:, [2, 0]], nodes)
    np.testing.assert_array_equal(matching.index, [1, -1, 0])
    assert matching.mean_correlation == pytest.approx(2 / 3)
    np.testing.assert_array_equal(matching.align_columns([[7.0, 8.0]]), [[8.0, 0.0, 7.0]])


def test_constant_node_matches_nothing(nodes):
    matching = metrics.match_nodes(np.column_stack([nodes[:, :2], np.ones(500)]), nodes)
    assert matching.correlation[2] == 0


def test_different_cells_are_refused(nodes):
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.match_nodes(nodes[:100], nodes)


def test_recall_counts_targets_among_the_first_nodes():
    evidence = [[0.9, 0.8, 0.1], [0.1, 0.2, 0.9], [1.0, 0.0, 0.0]]
    is_target = [[True, False, True], [False, True, False], [False, False, False]]
    assert metrics.target_recall_at_k(evidence, is_target, k=1) == pytest.approx(0.25)
    assert metrics.target_recall_at_k(evidence, is_target, k=2) == pytest.approx(0.75)
    assert metrics.target_recall_at_k(evidence, is_target, k=3) == 1.0


def test_recall_gives_nothing_for_ties():
    assert metrics.target_recall_at_k([[0.0, 0.0]], [[True, False]], k=1) == 0.0
