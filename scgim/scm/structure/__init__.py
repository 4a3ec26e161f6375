"""Finding the causal graph of measured nodes, and the targets in it."""

from scgim.scm.structure._count_statistics import compute_count_statistics
from scgim.scm.structure._denoised_covariance import (
    CountScreen,
    DenoisedCovariance,
    compute_denoised_covariance,
    control_deviation,
    thin_counts,
)
from scgim.scm.structure._held_out_evidence import judge_on_held_out_cells
from scgim.scm.structure._mechanism_uncertainty import MechanismUncertainty
from scgim.scm.structure._prior_knowledge import PriorKnowledge
from scgim.scm.structure._structure_gradient import (
    GradientModel,
    GradientSettings,
    fit_structure_by_gradient,
)
from scgim.scm.structure._structure_score import FamilyFit, StructureScore
from scgim.scm.structure._structure_search import (
    SearchProgress,
    SearchSettings,
    StructureSearch,
    search_structure,
)
from scgim.scm.structure._target_evidence import (
    TargetEvidence,
    compute_expression_evidence,
    compute_target_evidence,
)

__all__ = [
    "CountScreen",
    "DenoisedCovariance",
    "FamilyFit",
    "GradientModel",
    "GradientSettings",
    "MechanismUncertainty",
    "PriorKnowledge",
    "SearchProgress",
    "SearchSettings",
    "StructureScore",
    "StructureSearch",
    "TargetEvidence",
    "compute_count_statistics",
    "compute_denoised_covariance",
    "compute_expression_evidence",
    "compute_target_evidence",
    "control_deviation",
    "fit_structure_by_gradient",
    "judge_on_held_out_cells",
    "search_structure",
    "thin_counts",
]
