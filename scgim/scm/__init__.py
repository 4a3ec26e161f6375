"""The causal model: plain PyTorch that knows neither AnnData nor scvi."""

from scgim.scm._dose_response import hill_response
from scgim.scm._graph import OrderedGraph, compute_total_effects
from scgim.scm._intervention_table import InterventionTable
from scgim.scm._interventions import Intervention, scale_nodes, set_nodes, shift_nodes
from scgim.scm._mechanism import LinearMechanism, Mechanism
from scgim.scm._sampling import abduct_noise, replay, solve_intervened

__all__ = [
    "Intervention",
    "InterventionTable",
    "LinearMechanism",
    "Mechanism",
    "OrderedGraph",
    "abduct_noise",
    "compute_total_effects",
    "hill_response",
    "replay",
    "scale_nodes",
    "set_nodes",
    "shift_nodes",
    "solve_intervened",
]
