"""Names of 0.1 that have another place since 0.2, and can be had from the old one until 0.3."""

from __future__ import annotations

import scgim.evaluation
from scgim._messages import warn

MOVED = {
    name: name
    for name in (
        "AdditiveShifts",
        "BetweenVariance",
        "BilinearOnFeatures",
        "CellEvalPair",
        "ContextMean",
        "ControlAudit",
        "DoseInterpolation",
        "FalseTargetRate",
        "FeatureAudit",
        "GIMPredictor",
        "GeneratorOnComponents",
        "MLPEnsemble",
        "MeanOfTreated",
        "NearestPerturbation",
        "NoEffect",
        "OtherContexts",
        "PooledGIM",
        "Predictor",
        "RefittedGIM",
        "RidgeOnFeatures",
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
    )
} | {
    "ChemistryBenchmark": "RunResult",
    "ProgramsBenchmark": "RunResult",
    "RealScreenBenchmark": "RunResult",
    "SpeedBenchmark": "RunResult",
}


def find_moved(name: str) -> object:
    """Find an object by its name of 0.1, and say where it is now.

    Parameters
    ----------
    name
        Name in :mod:`scgim.benchmark`.

    Returns
    -------
    The object.

    Raises
    ------
    AttributeError
        When there never was such a name.
    """
    if name not in MOVED:
        msg = f"module 'scgim.benchmark' has no attribute {name!r}"
        raise AttributeError(msg)
    warn(
        f"`scgim.benchmark.{name}` moved in 0.2 and will not be found here from 0.3 on. Import "
        f"`scgim.evaluation.{MOVED[name]}`.",
        FutureWarning,
    )
    return getattr(scgim.evaluation, MOVED[name])
