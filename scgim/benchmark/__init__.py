"""Our own experiments: simulated worlds, real screens, speed."""

from __future__ import annotations

import scgim.evaluation as _evaluation
from scgim._messages import warn as _warn
from scgim.benchmark._chemistry import ChemistryBenchmark, ChemistrySettings, benchmark_chemistry
from scgim.benchmark._chemistry_ceilings import ClassOracle, StructureCeiling
from scgim.benchmark._genes import GenesBenchmark, GenesSettings, benchmark_genes
from scgim.benchmark._genes_predictors import GenesPredictor, GenesScreen
from scgim.benchmark._programs import ProgramsBenchmark, ProgramsSettings, benchmark_programs
from scgim.benchmark._real_screens import RealScreenBenchmark, benchmark_real
from scgim.benchmark._real_targets import TargetsBenchmark, benchmark_targets
from scgim.benchmark._speed import SpeedBenchmark, SpeedSettings, benchmark_speed
from scgim.benchmark._world_ceilings import OracleGenerator, ReplicateCeiling

__all__ = [
    "ChemistryBenchmark",
    "ChemistrySettings",
    "ClassOracle",
    "GenesBenchmark",
    "GenesPredictor",
    "GenesScreen",
    "GenesSettings",
    "OracleGenerator",
    "ProgramsBenchmark",
    "ProgramsSettings",
    "RealScreenBenchmark",
    "ReplicateCeiling",
    "SpeedBenchmark",
    "SpeedSettings",
    "StructureCeiling",
    "TargetsBenchmark",
    "benchmark_chemistry",
    "benchmark_genes",
    "benchmark_programs",
    "benchmark_real",
    "benchmark_speed",
    "benchmark_targets",
]


def __getattr__(name: str) -> object:
    """Find what moved to :mod:`scgim.evaluation` in 0.2; it can be had from here until 0.3."""
    if name in _evaluation.__all__:
        _warn(
            f"`scgim.benchmark.{name}` moved in 0.2 and will not be found here from 0.3 on. Import "
            f"`scgim.evaluation.{name}`.",
            FutureWarning,
        )
        return getattr(_evaluation, name)
    message = f"module 'scgim.benchmark' has no attribute {name!r}"
    raise AttributeError(message)
