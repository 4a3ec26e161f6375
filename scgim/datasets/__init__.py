"""Simulated screens with known truth, and loaders of real ones."""

from scgim.datasets._programs_world import ProgramsWorld, simulate_screen

__all__ = ["ProgramsWorld", "simulate_screen"]
