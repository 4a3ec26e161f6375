"""Comparison with baselines and ceilings: accuracy on simulated screens, and speed."""

from scgim.benchmark._baselines import (
    BilinearOnFeatures,
    GeneratorOnComponents,
    MLPEnsemble,
    NearestPerturbation,
    RidgeOnFeatures,
)
from scgim.benchmark._chemistry import (
    ChemistryBenchmark,
    ChemistrySettings,
    benchmark_chemistry,
)
from scgim.benchmark._chemistry_ceilings import ClassOracle, StructureCeiling
from scgim.benchmark._claim import Verdict, judge, judge_overall
from scgim.benchmark._evaluate import evaluate
from scgim.benchmark._export import CellEvalPair, to_cell_eval, to_pertpy
from scgim.benchmark._feature_audit import FeatureAudit, audit_features, join_audits
from scgim.benchmark._genes import (
    GenesBenchmark,
    GenesSettings,
    benchmark_genes,
)
from scgim.benchmark._genes_predictors import GenesPredictor, GenesScreen
from scgim.benchmark._leaks import find_leaks, find_overlaps
from scgim.benchmark._perturbation_groups import tanimoto_groups
from scgim.benchmark._pooled_gim import PooledGIM
from scgim.benchmark._predictors import (
    GIMPredictor,
    OracleGenerator,
    Predictor,
    RefittedGIM,
    ReplicateCeiling,
)
from scgim.benchmark._programs import (
    ProgramsBenchmark,
    ProgramsSettings,
    benchmark_programs,
)
from scgim.benchmark._real_screens import RealScreenBenchmark, benchmark_real
from scgim.benchmark._real_targets import TargetsBenchmark, benchmark_targets
from scgim.benchmark._reliability import compute_reliability
from scgim.benchmark._sanity_checks import (
    BetweenVariance,
    ControlAudit,
    FalseTargetRate,
    add_decoys,
    audit_control,
    compare_between_variance,
    false_target_rate,
)
from scgim.benchmark._scoring import ScoringSettings
from scgim.benchmark._simple_baselines import (
    AdditiveShifts,
    ContextMean,
    DoseInterpolation,
    MeanOfTreated,
    NoEffect,
    OtherContexts,
    SameClassMean,
    SameDoseMean,
)
from scgim.benchmark._speed import SpeedBenchmark, SpeedSettings, benchmark_speed
from scgim.benchmark._splits import Split, perturbation_folds, split
from scgim.benchmark._trained_gim import TrainedGIM
from scgim.benchmark._training_screen import ScreenKeys, TrainingScreen

__all__ = [
    "AdditiveShifts",
    "BetweenVariance",
    "BilinearOnFeatures",
    "CellEvalPair",
    "ChemistryBenchmark",
    "ChemistrySettings",
    "ClassOracle",
    "ContextMean",
    "ControlAudit",
    "DoseInterpolation",
    "FalseTargetRate",
    "FeatureAudit",
    "GIMPredictor",
    "GeneratorOnComponents",
    "GenesBenchmark",
    "GenesPredictor",
    "GenesScreen",
    "GenesSettings",
    "MLPEnsemble",
    "MeanOfTreated",
    "NearestPerturbation",
    "NoEffect",
    "OracleGenerator",
    "OtherContexts",
    "PooledGIM",
    "Predictor",
    "ProgramsBenchmark",
    "ProgramsSettings",
    "RealScreenBenchmark",
    "RefittedGIM",
    "ReplicateCeiling",
    "RidgeOnFeatures",
    "SameClassMean",
    "SameDoseMean",
    "ScoringSettings",
    "ScreenKeys",
    "SpeedBenchmark",
    "SpeedSettings",
    "Split",
    "StructureCeiling",
    "TargetsBenchmark",
    "TrainedGIM",
    "TrainingScreen",
    "Verdict",
    "add_decoys",
    "audit_control",
    "audit_features",
    "benchmark_chemistry",
    "benchmark_genes",
    "benchmark_programs",
    "benchmark_real",
    "benchmark_speed",
    "benchmark_targets",
    "compare_between_variance",
    "compute_reliability",
    "evaluate",
    "false_target_rate",
    "find_leaks",
    "find_overlaps",
    "join_audits",
    "judge",
    "judge_overall",
    "perturbation_folds",
    "split",
    "tanimoto_groups",
    "to_cell_eval",
    "to_pertpy",
]
