"""Judging predictions: splits, baselines, ceilings, scores, the claim rule, audits."""

from scgim.evaluation._baselines import (
    BilinearOnFeatures,
    GeneratorOnComponents,
    MLPEnsemble,
    NearestPerturbation,
    RidgeOnFeatures,
)
from scgim.evaluation._claim import Verdict, judge, judge_overall
from scgim.evaluation._evaluate import evaluate
from scgim.evaluation._export import CellEvalPair, to_cell_eval, to_pertpy
from scgim.evaluation._feature_audit import FeatureAudit, audit_features, join_audits
from scgim.evaluation._generator_evaluation import GeneratorScores, evaluate_generator
from scgim.evaluation._leaks import find_leaks, find_overlaps
from scgim.evaluation._perturbation_groups import tanimoto_groups
from scgim.evaluation._pooled_gim import PooledGIM
from scgim.evaluation._predictors import (
    GIMPredictor,
    Predictor,
    RefittedGIM,
)
from scgim.evaluation._reliability import compute_reliability
from scgim.evaluation._run_result import RunResult
from scgim.evaluation._sanity_checks import (
    BetweenVariance,
    ControlAudit,
    FalseTargetRate,
    add_decoys,
    audit_control,
    compare_between_variance,
    false_target_rate,
)
from scgim.evaluation._scoring import ScoringSettings
from scgim.evaluation._simple_baselines import (
    AdditiveShifts,
    ContextMean,
    DoseInterpolation,
    MeanOfTreated,
    NoEffect,
    OtherContexts,
    SameClassMean,
    SameDoseMean,
)
from scgim.evaluation._splits import Split, perturbation_folds, split
from scgim.evaluation._trained_gim import TrainedGIM
from scgim.evaluation._training_screen import ScreenKeys, TrainingScreen
from scgim.evaluation.report._write_report import (
    EvaluationReport,
    ReportProgress,
    ReportSettings,
    write_report,
)

__all__ = [
    "AdditiveShifts",
    "BetweenVariance",
    "BilinearOnFeatures",
    "CellEvalPair",
    "ContextMean",
    "ControlAudit",
    "DoseInterpolation",
    "EvaluationReport",
    "FalseTargetRate",
    "FeatureAudit",
    "GIMPredictor",
    "GeneratorOnComponents",
    "GeneratorScores",
    "MLPEnsemble",
    "MeanOfTreated",
    "NearestPerturbation",
    "NoEffect",
    "OtherContexts",
    "PooledGIM",
    "Predictor",
    "RefittedGIM",
    "ReportProgress",
    "ReportSettings",
    "RidgeOnFeatures",
    "RunResult",
    "SameClassMean",
    "SameDoseMean",
    "ScoringSettings",
    "ScreenKeys",
    "Split",
    "TrainedGIM",
    "TrainingScreen",
    "Verdict",
    "add_decoys",
    "audit_control",
    "audit_features",
    "compare_between_variance",
    "compute_reliability",
    "evaluate",
    "evaluate_generator",
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
    "write_report",
]
