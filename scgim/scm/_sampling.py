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


def solve_intervened(
    adjacency: Tensor, offset: Tensor, noise: Tensor, intervention: Intervention
) -> Tensor:
    r"""Push noise through the linear causal model under an intervention.

    Solves :math:`z = (1 - c)\,(zA + \beta) + \delta + \sigma\varepsilon` for all cells at once.

    Parameters
    ----------
    adjacency
        Edge weights, shape ``(n_nodes, n_nodes)``; ``[i, j]`` is the edge i → j.
    offset
        Offset of each node, shape ``(n_nodes,)`` or ``(n_cells, n_nodes)``.
    noise
        Exogenous noise, shape ``(n_cells, n_nodes)``.
    intervention
        One intervention for all cells, or one per cell (leading dimension ``n_cells``).

    Returns
    -------
    Node values, shape ``(n_cells, n_nodes)``.
    """
    keep = 1 - intervention.is_cut
    exogenous = keep * offset + intervention.shift + intervention.noise_scale * noise
    intervened = adjacency * keep.unsqueeze(-2)
    identity = torch.eye(adjacency.shape[-1], dtype=adjacency.dtype, device=adjacency.device)
    system = (identity - intervened).mT
    if system.ndim == 2:
        nodes: Tensor = torch.linalg.solve(system, exogenous.mT).mT
    else:
        nodes = torch.linalg.solve(system, exogenous.unsqueeze(-1)).squeeze(-1)
    return nodes


def abduct_noise(adjacency: Tensor, offset: Tensor, nodes: Tensor) -> Tensor:
    r"""Recover the noise of unperturbed cells, :math:`\varepsilon = z - zA - \beta`.

    Parameters
    ----------
    adjacency
        Edge weights, shape ``(n_nodes, n_nodes)``.
    offset
        Offset of each node, shape ``(n_nodes,)`` or ``(n_cells, n_nodes)``.
    nodes
        Node values of the cells, shape ``(n_cells, n_nodes)``.

    Returns
    -------
    Exogenous noise, shape ``(n_cells, n_nodes)``.
    """
    return nodes - nodes @ adjacency - offset


def replay(adjacency: Tensor, offset: Tensor, nodes: Tensor, intervention: Intervention) -> Tensor:
    """Predict given cells as they would have been under an intervention.

    Abducts the noise of each cell, then pushes it through the intervened model. Under the empty
    intervention every cell comes back as it was.

    Parameters
    ----------
    adjacency
        Edge weights, shape ``(n_nodes, n_nodes)``.
    offset
        Offset of each node, shape ``(n_nodes,)`` or ``(n_cells, n_nodes)``.
    nodes
        Node values of the unperturbed cells, shape ``(n_cells, n_nodes)``.
    intervention
        What is done to them.

    Returns
    -------
    Counterfactual node values, shape ``(n_cells, n_nodes)``.
    """
    noise = abduct_noise(adjacency, offset, nodes)
    return solve_intervened(adjacency, offset, noise, intervention)


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
