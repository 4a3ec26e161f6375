import numpy as np
import torch

from scgim.scm import Gauge, GaugeProblem
from scgim.spaces._latent_fit import log_bayes_factor
from scgim.spaces._latent_space import orient


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
