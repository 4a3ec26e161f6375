"""Simulated screens with known truth, and loaders of real ones."""
