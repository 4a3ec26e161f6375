import numpy as np
import pytest
from scipy.stats import norm

from scgim.metrics import (
    interventional_nll,
    mean_error,
    sliced_wasserstein,
    structural_intervention_distance,
)


def graph(*edges, n_nodes=3):
    adjacency = np.zeros((n_nodes, n_nodes))
    for edge in edges:
        adjacency[edge] = 1
    return adjacency


def test_mean_error_is_a_mean_of_lengths():
    assert mean_error([[3.0, 4.0], [1.0, 0.0]], np.zeros((2, 2))) == pytest.approx(3.0)


def test_sliced_wasserstein_of_a_shift_is_its_length_over_the_root_of_the_dimension():
    cells = np.random.default_rng(0).standard_normal((500, 4))
    shift = np.array([2.0, 0.0, 0.0, 0.0])
    found = sliced_wasserstein(cells, cells + shift, n_projections=4000)
    assert found == pytest.approx(1.0, rel=0.05)


def test_sliced_wasserstein_is_symmetric_and_takes_groups_of_any_size():
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal((60, 3)), 1 + rng.standard_normal((25, 3))
    assert sliced_wasserstein(one, other) == pytest.approx(sliced_wasserstein(other, one))
    assert sliced_wasserstein(one, np.vstack([one, one])) == pytest.approx(0.0, abs=1e-9)


def test_certain_targets_give_the_gaussian_likelihood():
    values = np.array([[0.3, 2.0], [-1.0, 2.5]])
    kept, hit = norm.logpdf(values), norm.logpdf(values, loc=2.0)
    nll = interventional_nll(kept, hit, np.array([0.0, 1.0]))
    expected = -(norm.logpdf(values[:, 0]) + norm.logpdf(values[:, 1], loc=2.0)).mean()
    assert nll == pytest.approx(expected)


def test_uncertain_targets_are_summed_out():
    nll = interventional_nll([[np.log(0.2)]], [[np.log(0.6)]], [[0.25]])
    assert nll == pytest.approx(-np.log(0.75 * 0.2 + 0.25 * 0.6))


def test_distance_of_interventions_is_zero_for_the_graph_and_its_supergraphs():
    chain = graph((0, 1), (1, 2))
    assert structural_intervention_distance(chain, chain) == 0
    assert structural_intervention_distance(graph((0, 1), (1, 2), (0, 2)), chain) == 0


def test_missing_confounder_makes_one_effect_wrong():
    # 0 -> 1, 0 -> 2, 1 -> 2: without 0 -> 1 the effect of 1 on 2 is confounded, that on 0 is not 0.
    true = graph((0, 1), (0, 2), (1, 2))
    without = graph((0, 2), (1, 2))
    assert structural_intervention_distance(without, true) == 2


def test_example_of_the_paper():
    # Figure 1 of Peters and Bühlmann: G, H1 (one edge too many), H2 (one edge reversed).
    edges = [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4)]
    true = graph((0, 1), *edges, n_nodes=5)
    more = graph((0, 1), *edges, (2, 3), n_nodes=5)
    turned = graph((1, 0), *edges, n_nodes=5)
    assert structural_intervention_distance(more, true) == 0
    assert structural_intervention_distance(turned, true) == 8


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        structural_intervention_distance(np.zeros((2, 2)), np.zeros((3, 3)))
