import numpy as np
import pytest

from scgim.scm import MechanismUncertainty


def test_errors_of_regressions_are_as_large_as_it_says():
    rng = np.random.default_rng(0)
    weights, moved = np.array([1.0, -0.5]), np.array([[2.0, -1.0, 0.0]])
    errors, expected = [], []
    for _ in range(300):
        parents = rng.normal(size=(60, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
        child = parents @ weights + 0.7 * rng.normal(size=60)
        found = np.linalg.lstsq(parents, child, rcond=None)[0]
        errors.append(moved[0, :2] @ (found - weights))
        values = np.column_stack([parents, child])
        adjacency = np.zeros((3, 3), bool)
        adjacency[:2, 2] = True
        known = MechanismUncertainty(adjacency, values.T @ values, np.full(3, 0.49))
        expected.append(known.variance(moved)[0, 2])
    assert np.var(errors) == pytest.approx(np.mean(expected), rel=0.2)


def test_nodes_without_parents_and_parents_that_stay_put_add_nothing():
    adjacency = np.array([[False, True], [False, False]])
    known = MechanismUncertainty(adjacency, 100 * np.eye(2), np.ones(2))
    assert known.variance(np.array([[0.0, 5.0]])).tolist() == [[0.0, 0.0]]
    np.testing.assert_allclose(known.variance(np.array([[3.0, 0.0]])), [[0.0, 0.09]], rtol=1e-5)
