"""Figures from tables and AnnData."""

from scgim.pl._ambiguity import ambiguity
from scgim.pl._causal_graph import causal_graph
from scgim.pl._dose_response import dose_response
from scgim.pl._evaluation import (
    interval_coverage,
    paired_differences,
    risk_coverage,
    score_by_stratum,
)
from scgim.pl._gene_programs import gene_programs
from scgim.pl._intervention_targets import intervention_targets
from scgim.pl._mechanism_share import mechanism_share
from scgim.pl._predicted_vs_observed import predicted_vs_observed
from scgim.pl._target_evidence import target_evidence
from scgim.pl._training_history import training_history

__all__ = [
    "ambiguity",
    "causal_graph",
    "dose_response",
    "gene_programs",
    "interval_coverage",
    "intervention_targets",
    "mechanism_share",
    "paired_differences",
    "predicted_vs_observed",
    "risk_coverage",
    "score_by_stratum",
    "target_evidence",
    "training_history",
]
