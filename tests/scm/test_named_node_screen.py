import numpy as np

from scgim.scm import NamedNodeScreen


def test_conditions_are_averaged_and_counted():
    screen = NamedNodeScreen(
        np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]), np.array([-1, 0]), np.zeros(2)
    )
    assert screen.condition_means(screen.values).tolist() == [[2.0], [5.0]]
    assert screen.condition_sizes.tolist() == [2.0, 1.0]
    assert (screen.n_nodes, screen.n_perturbations) == (1, 1)
