"""Comparison with baselines and ceilings: accuracy on simulated screens, and speed."""
