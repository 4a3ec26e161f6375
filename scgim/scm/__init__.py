"""The causal model: plain PyTorch that knows neither AnnData nor scvi."""

from scgim._messages import warn as _warn
from scgim.scm import _deprecated
from scgim.scm._dose_response import hill_response
from scgim.scm._graph import compute_total_effects, find_generations
from scgim.scm._intervention_distribution import InterventionDistribution
from scgim.scm._intervention_kinds import GroupResiduals, InterventionKind, InterventionKindName
from scgim.scm._interventions import (
    Intervention,
    scale_node,
    scale_nodes,
    set_node,
    set_nodes,
    shift_node,
    shift_nodes,
)
from scgim.scm._linear_mechanism import LinearMechanism
from scgim.scm._mechanism import Mechanism
from scgim.scm._mechanism_fit import MechanismData
from scgim.scm._mlp_mechanism import MLPMechanism
from scgim.scm._named_node_fit import NamedNodeFit, find_structure, fit_named_nodes
from scgim.scm._named_node_screen import NamedNodeScreen
from scgim.scm._sampling import compute_linear_mean, compute_log_densities, sample_nodes
from scgim.scm._structure import Structure
from scgim.scm._sufficient_statistics import (
    SplineBasis,
    SufficientStatistics,
    compute_sufficient_statistics,
)
from scgim.scm.gauge._gauge import Gauge, GaugeProblem, find_gauges, find_tied_orders, match_nodes
from scgim.scm.generator._dense_interventions import DenseInterventions
from scgim.scm.generator._efficacy_model import EfficacyModel, ShiftObservations
from scgim.scm.generator._empirical_bayes import ConditionStatistics, RandomEffects
from scgim.scm.generator._fit_interventions import InterventionFit
from scgim.scm.generator._intervention_generator import (
    GeneratedEffects,
    GeneratorReport,
    InterventionGenerator,
)
from scgim.scm.generator._intervention_table import InterventionTable
from scgim.scm.generator._named_node_model import NamedNodeModel
from scgim.scm.generator._shift_posterior import ShiftPosterior, compute_shift_posterior
from scgim.scm.generator._sparse_interventions import SparseInterventions
from scgim.scm.generator._target_prediction import Kernel, TargetPredictor
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
    "ConditionStatistics",
    "CountScreen",
    "DenoisedCovariance",
    "DenseInterventions",
    "EfficacyModel",
    "FamilyFit",
    "Gauge",
    "GaugeProblem",
    "GeneratedEffects",
    "GeneratorReport",
    "GradientModel",
    "GradientSettings",
    "GroupResiduals",
    "Intervention",
    "InterventionDistribution",
    "InterventionFit",
    "InterventionGenerator",
    "InterventionKind",
    "InterventionKindName",
    "InterventionTable",
    "Kernel",
    "LinearMechanism",
    "MLPMechanism",
    "Mechanism",
    "MechanismData",
    "MechanismUncertainty",
    "NamedNodeFit",
    "NamedNodeModel",
    "NamedNodeScreen",
    "PriorKnowledge",
    "RandomEffects",
    "SearchProgress",
    "SearchSettings",
    "ShiftObservations",
    "ShiftPosterior",
    "SparseInterventions",
    "SplineBasis",
    "Structure",
    "StructureScore",
    "StructureSearch",
    "SufficientStatistics",
    "TargetEvidence",
    "TargetPredictor",
    "compute_count_statistics",
    "compute_denoised_covariance",
    "compute_expression_evidence",
    "compute_linear_mean",
    "compute_log_densities",
    "compute_shift_posterior",
    "compute_sufficient_statistics",
    "compute_target_evidence",
    "compute_total_effects",
    "control_deviation",
    "find_gauges",
    "find_generations",
    "find_structure",
    "find_tied_orders",
    "fit_named_nodes",
    "fit_structure_by_gradient",
    "hill_response",
    "judge_on_held_out_cells",
    "match_nodes",
    "sample_nodes",
    "scale_node",
    "scale_nodes",
    "search_structure",
    "set_node",
    "set_nodes",
    "shift_node",
    "shift_nodes",
    "thin_counts",
]


def __getattr__(name: str) -> object:
    """Find what methods of mechanisms replaced in 0.2, and say what replaced the rest."""
    if name in _deprecated.MOVED:
        _warn(
            f"`scgim.scm.{name}` will not be found from 0.3 on. Use "
            f"`scgim.scm.{_deprecated.MOVED[name]}`.",
            FutureWarning,
        )
        return getattr(_deprecated, name)
    message = f"module 'scgim.scm' has no attribute {name!r}"
    if name in _deprecated.REPLACED:
        message += f": in 0.2 {_deprecated.REPLACED[name]} took its place. Use that"
    raise AttributeError(message + ".")
