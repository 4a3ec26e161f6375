"""The causal model: plain PyTorch that knows neither AnnData nor scvi."""

from scgim.scm._dose_response import hill_response
from scgim.scm._empirical_bayes import ConditionStatistics, RowPrior, Rows
from scgim.scm._fit_interventions import InterventionFit
from scgim.scm._gauge import Gauge, GaugeProblem, find_gauges, match_nodes
from scgim.scm._graph import OrderedGraph, compute_total_effects
from scgim.scm._intervention_generator import GeneratedRows, GeneratorReport, InterventionGenerator
from scgim.scm._intervention_table import InterventionTable
from scgim.scm._interventions import Intervention, scale_nodes, set_nodes, shift_nodes
from scgim.scm._mechanism import LinearMechanism, Mechanism
from scgim.scm._sampling import abduct_noise, replay, solve_intervened

__all__ = [
    "ConditionStatistics",
    "Gauge",
    "GaugeProblem",
    "GeneratedRows",
    "GeneratorReport",
    "Intervention",
    "InterventionFit",
    "InterventionGenerator",
    "InterventionTable",
    "LinearMechanism",
    "Mechanism",
    "OrderedGraph",
    "RowPrior",
    "Rows",
    "abduct_noise",
    "compute_total_effects",
    "find_gauges",
    "hill_response",
    "match_nodes",
    "replay",
    "scale_nodes",
    "set_nodes",
    "shift_nodes",
    "solve_intervened",
]
