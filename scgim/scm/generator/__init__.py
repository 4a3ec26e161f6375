"""From features of perturbations to distributions over interventions."""

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

__all__ = [
    "ConditionStatistics",
    "DenseInterventions",
    "EfficacyModel",
    "GeneratedEffects",
    "GeneratorReport",
    "InterventionFit",
    "InterventionGenerator",
    "InterventionTable",
    "Kernel",
    "NamedNodeModel",
    "RandomEffects",
    "ShiftObservations",
    "ShiftPosterior",
    "SparseInterventions",
    "TargetPredictor",
    "compute_shift_posterior",
]
