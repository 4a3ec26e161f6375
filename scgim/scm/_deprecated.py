"""Functions of 0.1 that :class:`scgim.scm.Mechanism` has as methods; they go in 0.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from scgim.scm._interventions import Intervention

MOVED = {
    "solve_intervened": "Mechanism.simulate",
    "abduct_noise": "Mechanism.abduct",
    "replay": "Mechanism.replay",
}
REPLACED = {
    "GraphMechanism": "LinearMechanism or MLPMechanism",
    "LinearNodeMechanism": "LinearMechanism",
    "NodeInterventions": "Intervention",
    "NodeMechanism": "Mechanism",
    "OrderedGraph": "LinearMechanism",
    "causal_order": "find_generations",
    "fit_mlp_mechanism": "MLPMechanism.fit",
}


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
