"""Splits, baselines, ceilings and scores that judge any predictor."""
