"""Checks on what the causal space of named genes can handle."""

from __future__ import annotations


def check_gradient_world(mechanism: str, intervention: str) -> None:
    """Raise if the published optimiser is asked for mechanisms that it was not written for here.

    Parameters
    ----------
    mechanism
        Kind of mechanisms of the world.
    intervention
        Kind of interventions of the world.
    """
    if mechanism == "linear" and intervention == "shift":
        return
    msg = (
        f"`structures` names 'gradient', but the world has `mechanism={mechanism!r}` and "
        f"`intervention={intervention!r}`. The gradient fit knows linear mechanisms and shifts "
        "only. Leave 'gradient' out, or choose `mechanism='linear'` and `intervention='shift'`."
    )
    raise ValueError(msg)
