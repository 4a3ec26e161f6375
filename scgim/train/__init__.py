"""Optimisation: the training plan, schedules and what is logged."""

from scgim.train._gim_training_plan import GIMTrainingPlan, NonFiniteLossError
from scgim.train._held_out_shift import HeldOutShift
from scgim.train._keep_weights import KeepWeights

__all__ = ["GIMTrainingPlan", "HeldOutShift", "KeepWeights", "NonFiniteLossError"]
