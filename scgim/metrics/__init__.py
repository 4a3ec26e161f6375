"""Distances between cells, and recovery of shifts, targets and graphs: arrays in, numbers out."""

from scgim.metrics._calibration import interval_coverage, rank_correlation
from scgim.metrics._distribution import (
    energy_distance,
    largest_shifts,
    mmd,
    normalized_energy_distance,
    shift_r2,
)
from scgim.metrics._structure import (
    NodeMatching,
    edge_f1,
    graph_average_precision,
    match_nodes,
    structural_hamming_distance,
    target_average_precision,
)

__all__ = [
    "NodeMatching",
    "edge_f1",
    "energy_distance",
    "graph_average_precision",
    "interval_coverage",
    "largest_shifts",
    "match_nodes",
    "mmd",
    "normalized_energy_distance",
    "rank_correlation",
    "shift_r2",
    "structural_hamming_distance",
    "target_average_precision",
]
