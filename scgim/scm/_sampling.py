from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np

    from scgim._types import FloatArray
    from scgim.scm._interventions import Intervention
    from scgim.scm._linear_mechanism import LinearMechanism
    from scgim.scm._mechanism import Mechanism

# A node that is set has no density of its own: some noise is left to it, in its noise sd.
MIN_NOISE_SCALE = 1e-3


@torch.no_grad()
def sample_nodes(
    mechanism: Mechanism, intervention: Intervention, n_cells: int, rng: np.random.Generator
) -> FloatArray:
    """Simulate cells, each with its own draw of the targets where they are not certain.

    Parameters
    ----------
    mechanism
        How nodes follow their parents.
    intervention
        One row per condition.
    n_cells
        Cells per condition.
    rng
        Source of randomness.

    Returns
    -------
    Node values, shape ``(n_conditions, n_cells, n_nodes)``.
    """
    each = intervention.map(lambda values: values[:, None].expand(-1, n_cells, -1))
    drawn = each.draw(rng)
    noise = torch.as_tensor(rng.standard_normal(each.shift.shape), device=each.shift.device)
    return mechanism.simulate(noise, drawn).double().cpu().numpy()


@torch.no_grad()
def compute_linear_mean(mechanism: LinearMechanism, intervention: Intervention) -> FloatArray:
    """Mean of every node of a linear model under interventions.

    Exact where targets are certain; otherwise targets enter by their probability, which is exact for
    shifts and an approximation for hard interventions.

    Parameters
    ----------
    mechanism
        Linear mechanisms.
    intervention
        One row per condition.

    Returns
    -------
    Means, shape ``(n_conditions, n_nodes)``.
    """
    probability = 1.0 if intervention.probability is None else intervention.probability
    likely = replace(
        intervention,
        shift=probability * intervention.shift,
        is_cut=probability * intervention.is_cut,
        probability=None,
    )
    nothing = torch.zeros_like(likely.shift)
    return mechanism.simulate(nothing, likely).double().cpu().numpy()


@torch.no_grad()
def compute_log_densities(
    mechanism: Mechanism, cells: FloatArray, intervention: Intervention
) -> tuple[FloatArray, FloatArray]:
    """Log density of every node given its parents, without and with the intervention on it.

    Parameters
    ----------
    mechanism
        How nodes follow their parents.
    cells
        Node values, shape ``(n_conditions, n_cells, n_nodes)``.
    intervention
        What is done to each node if it is a target, one row per condition.

    Returns
    -------
    Log densities without and with the intervention, each of shape ``(n_conditions * n_cells,
    n_nodes)``.
    """
    nodes = torch.as_tensor(cells)
    mean = nodes - mechanism.residual(nodes)
    what = intervention.map(lambda values: values[:, None])
    sd = mechanism.noise_sd
    targeted = (1 - what.is_cut) * mean + what.shift
    scale = sd * what.noise_scale.clamp_min(MIN_NOISE_SCALE)
    return _log_normal(nodes - mean, sd), _log_normal(nodes - targeted, scale)


def _log_normal(residual: Tensor, sd: Tensor) -> FloatArray:
    density = -0.5 * (residual / sd).square() - sd.log() - 0.5 * math.log(2 * math.pi)
    return density.flatten(0, 1).cpu().numpy()


def compute_residuals(mechanism: Mechanism, values: FloatArray) -> FloatArray:
    """Take away what parents and offset explain from arrays, see :meth:`Mechanism.residual`.

    Parameters
    ----------
    mechanism
        How nodes follow their parents.
    values
        Node values, shape ``(n_cells, n_nodes)``.

    Returns
    -------
    Exogenous input of each node, same shape.
    """
    with torch.no_grad():
        return mechanism.residual(torch.as_tensor(values)).numpy()
