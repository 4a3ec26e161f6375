"""Our own experiments: simulated worlds, real screens, speed."""

from __future__ import annotations

from scgim.benchmark._all_screens import benchmark_all_screens
from scgim.benchmark._chemistry import ChemistrySettings, benchmark_chemistry
from scgim.benchmark._chemistry_ceilings import ClassOracle, StructureCeiling
from scgim.benchmark._genes import GenesBenchmark, GenesSettings, benchmark_genes
from scgim.benchmark._genes_predictors import GenesPredictor, GenesScreen
from scgim.benchmark._moved_names import find_moved as _find_moved
from scgim.benchmark._programs import ProgramsSettings, benchmark_programs
from scgim.benchmark._real_screens import benchmark_real
from scgim.benchmark._real_targets import TargetsBenchmark, benchmark_targets
from scgim.benchmark._speed import SpeedSettings, benchmark_speed
from scgim.benchmark._world_ceilings import OracleGenerator, ReplicateCeiling

__all__ = [
    "ChemistrySettings",
    "ClassOracle",
    "GenesBenchmark",
    "GenesPredictor",
    "GenesScreen",
    "GenesSettings",
    "OracleGenerator",
    "ProgramsSettings",
    "ReplicateCeiling",
    "SpeedSettings",
    "StructureCeiling",
    "TargetsBenchmark",
    "benchmark_all_screens",
    "benchmark_chemistry",
    "benchmark_genes",
    "benchmark_programs",
    "benchmark_real",
    "benchmark_speed",
    "benchmark_targets",
]


def __getattr__(name: str) -> object:
    """Find what moved to :mod:`scgim.evaluation` in 0.2; it can be had from here until 0.3."""
    return _find_moved(name)
