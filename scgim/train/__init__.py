"""Optimisation: the training plan, schedules and what is logged."""
