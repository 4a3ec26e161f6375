"""Distances between cells, and recovery of shifts, targets and graphs: arrays in, numbers out."""

from scgim.metrics._calibration import (
    RiskCoverage,
    interval_coverage,
    rank_correlation,
    risk_coverage,
)
from scgim.metrics._causal import (
    interventional_nll,
    mean_error,
    sliced_wasserstein,
    structural_intervention_distance,
)
from scgim.metrics._differential_expression import (
    ChangedGenes,
    Moments,
    changed_gene_correlation,
    find_changed_genes,
    overlap_at_k,
    sign_agreement,
)
from scgim.metrics._distribution import (
    covariance_error,
    dispersion_bias,
    energy_distance,
    largest_shifts,
    mmd,
    normalized_energy_distance,
    shift_r2,
    wasserstein_per_gene,
)
from scgim.metrics._shift_scores import (
    ShiftDistance,
    discrimination_score,
    effect_weights,
    rank_score,
    shift_correlation,
    weighted_mse,
    weighted_r2,
)
from scgim.metrics._structure import (
    NodeMatching,
    edge_f1,
    graph_average_precision,
    match_nodes,
    structural_hamming_distance,
    target_average_precision,
    target_recall_at_k,
)

__all__ = [
    "ChangedGenes",
    "Moments",
    "NodeMatching",
    "RiskCoverage",
    "ShiftDistance",
    "changed_gene_correlation",
    "covariance_error",
    "discrimination_score",
    "dispersion_bias",
    "edge_f1",
    "effect_weights",
    "energy_distance",
    "find_changed_genes",
    "graph_average_precision",
    "interval_coverage",
    "interventional_nll",
    "largest_shifts",
    "match_nodes",
    "mean_error",
    "mmd",
    "normalized_energy_distance",
    "overlap_at_k",
    "rank_correlation",
    "rank_score",
    "risk_coverage",
    "shift_correlation",
    "shift_r2",
    "sign_agreement",
    "sliced_wasserstein",
    "structural_hamming_distance",
    "structural_intervention_distance",
    "target_average_precision",
    "target_recall_at_k",
    "wasserstein_per_gene",
    "weighted_mse",
    "weighted_r2",
]
