from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scgim.scm import Gauge, GaugeProblem
from scgim.spaces._latent_fit import log_bayes_factor
from scgim.spaces._latent_space import _warn_if_ambiguous, orient


def test_the_strongest_genes_of_a_node_go_up():
    loadings = torch.tensor([[3.0, 0.1], [0.0, -2.0], [0.0, 0.0]]).double()
    problem = GaugeProblem(loadings, torch.ones(3).double(), torch.eye(2).double(), torch.ones(2))
    oriented = orient(problem, Gauge(torch.diag(torch.tensor([-1.0, 1.0])).double(), 0.0))
    assert oriented.directions.diagonal().tolist() == [1.0, -1.0]


def test_evidence_for_a_target_is_the_ratio_of_two_normal_densities():
    shift, null = np.array([0.0, 1.5]), np.array([0.1, 0.3])

    def log_density(variance):
        return -0.5 * (np.log(2 * np.pi * variance) + shift**2 / variance)

    np.testing.assert_allclose(
        log_bayes_factor(shift, null), log_density(null + 4.0) - log_density(null)
    )
    assert log_bayes_factor(np.zeros(1), np.ones(1))[0] < 0


def fit_with(n_targets, n_edges):
    """Stands for a fit with so many ambiguous calls of 96 and of 56."""
    targets, edges = np.arange(96) < n_targets, np.arange(56) < n_edges
    return SimpleNamespace(
        target_ambiguity=lambda: targets, edge_ambiguity=lambda: edges, gauge={"near_ties": [1, 2]}
    )


@pytest.mark.parametrize(
    ("n_targets", "n_edges", "found"),
    [
        (3, 5, "3 of 96 target calls and 5 of 56 edge calls are ambiguous"),
        (0, 5, "5 of 56 edge calls are ambiguous"),
        (3, 0, "3 of 96 target calls are ambiguous"),
    ],
)
def test_only_calls_that_are_ambiguous_are_warned_of(n_targets, n_edges, found):
    with pytest.warns(UserWarning, match=f"^{found}"):
        _warn_if_ambiguous(fit_with(n_targets, n_edges))


def test_nothing_ambiguous_is_no_warning():
    _warn_if_ambiguous(fit_with(0, 0))
