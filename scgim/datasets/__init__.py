"""Simulated screens with known truth, and loaders of real ones."""

from scgim.datasets._chemistry_world import ChemistryWorld
from scgim.datasets._genes_world import GenesWorld
from scgim.datasets._programs_world import ProgramsWorld, simulate_screen
from scgim.datasets._real import (
    compound_targets,
    dream4,
    hdstim_cytof,
    hill2018,
    korkut2015,
    norman2019,
    papalexi2021,
    sachs2005,
    sachs_reagents,
    sciplex2_a549,
    sciplex_drugs,
    sciplex_fingerprints,
    sciplex_hdac_ic50,
)

__all__ = [
    "ChemistryWorld",
    "GenesWorld",
    "ProgramsWorld",
    "compound_targets",
    "dream4",
    "hdstim_cytof",
    "hill2018",
    "korkut2015",
    "norman2019",
    "papalexi2021",
    "sachs2005",
    "sachs_reagents",
    "sciplex2_a549",
    "sciplex_drugs",
    "sciplex_fingerprints",
    "sciplex_hdac_ic50",
    "simulate_screen",
]
