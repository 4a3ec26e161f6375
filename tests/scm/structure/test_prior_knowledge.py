import numpy as np
import pytest

from scgim.scm.structure._prior_knowledge import PriorKnowledge


def test_knowing_nothing_forbids_and_requires_nothing():
    prior = PriorKnowledge.none(3, 2)
    assert not prior.forbidden.any()
    assert not prior.required.any()
    assert not prior.edge_log_odds.any()
    assert (prior.targets == -1).all()


def test_regulon_weights_are_relative_and_unsigned():
    edges = np.array([0, 1, 1]), np.array([1, 2, 2])
    prior = PriorKnowledge.none(3, 1).with_likely_edges(*edges, np.array([-4.0, 1.0, 2.0]))
    expected = np.zeros((3, 3))
    expected[0, 1], expected[1, 2] = 3.0, 1.5
    np.testing.assert_allclose(prior.edge_log_odds, expected)
    assert not prior.forbidden.any()


def test_only_listed_edges_may_be_allowed_and_required_ones_stay():
    none = PriorKnowledge.none(3, 1)
    none.required[2, 0] = True
    prior = none.with_likely_edges(np.array([0]), np.array([1]), strength=2.0, allow_others=False)
    assert not prior.forbidden[0, 1]
    assert not prior.forbidden[2, 0]
    assert prior.forbidden[1, 0]
    assert prior.edge_log_odds[0, 1] == pytest.approx(2.0)
    np.testing.assert_array_equal(prior.required, none.required)


def test_an_empty_table_changes_nothing():
    none = PriorKnowledge.none(2, 1)
    empty = np.array([], dtype=int)
    prior = none.with_likely_edges(empty, empty, np.array([]))
    np.testing.assert_array_equal(prior.edge_log_odds, none.edge_log_odds)
