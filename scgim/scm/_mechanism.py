from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from scgim.scm._graph import OrderedGraph, compute_total_effects
from scgim.scm._sampling import abduct_noise, solve_intervened

if TYPE_CHECKING:
    from scgim.scm._interventions import Intervention


@runtime_checkable
class Mechanism(Protocol):
    """How every node follows its parents, and what is left to exogenous noise."""

    def residual(self, nodes: Tensor) -> Tensor:
        """Take away what the parents explain, ``(n_cells, n_nodes)`` -> same shape."""

    def solve(self, exogenous: Tensor) -> Tensor:
        """Let exogenous input flow through the graph; the inverse of :meth:`residual`."""


class LinearMechanism(nn.Module):
    r"""Linear mechanisms with unit exogenous noise, :math:`z = zA + \beta + \varepsilon`.

    The scale of a node is carried by what it does to the genes, so the noise has unit variance;
    any other choice is the same model in other units.

    Parameters
    ----------
    n_nodes
        Number of nodes.
    """

    def __init__(self, n_nodes: int) -> None:
        super().__init__()
        self.graph = OrderedGraph(n_nodes)
        self.offset = nn.Parameter(torch.zeros(n_nodes))

    @property
    def adjacency(self) -> Tensor:
        """Edge weights, shape ``(n_nodes, n_nodes)``; ``adjacency[i, j]`` is the edge i → j."""
        return self.graph.adjacency

    def residual(self, nodes: Tensor) -> Tensor:
        r"""Take away what parents and offset explain, :math:`z - zA - \beta`.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.

        Returns
        -------
        Exogenous input of each node, same shape.
        """
        return nodes - nodes @ self.adjacency - self.offset

    def solve(self, exogenous: Tensor) -> Tensor:
        r"""Let exogenous input flow through the graph, :math:`(\beta + u)(I - A)^{-1}`.

        Parameters
        ----------
        exogenous
            Noise plus shifts, shape ``(..., n_nodes)``.

        Returns
        -------
        Node values, same shape. ``residual(solve(u))`` is ``u``.
        """
        return (self.offset + exogenous) @ compute_total_effects(self.adjacency)

    def abduct(self, nodes: Tensor, node_offset: Tensor | float = 0.0) -> Tensor:
        """Recover the noise of unperturbed cells.

        Parameters
        ----------
        nodes
            Node values, shape ``(n_cells, n_nodes)``.
        node_offset
            What covariates add to the mechanisms.

        Returns
        -------
        Exogenous noise in its standard deviations, same shape.
        """
        return abduct_noise(self.adjacency, self.offset + node_offset, nodes)

    def push(
        self, noise: Tensor, intervention: Intervention, node_offset: Tensor | float = 0.0
    ) -> Tensor:
        """Push noise through the intervened graph.

        Parameters
        ----------
        noise
            Exogenous noise in its standard deviations, shape ``(n_cells, n_nodes)``.
        intervention
            What is done to each mechanism.
        node_offset
            What covariates add to the mechanisms.

        Returns
        -------
        Node values, same shape.
        """
        if not bool(intervention.is_cut.any()):
            exogenous = intervention.shift + intervention.noise_scale * noise + node_offset
            return self.solve(exogenous)
        return solve_intervened(self.adjacency, self.offset + node_offset, noise, intervention)

    def divergence(self, mean: Tensor, variance: Tensor, exogenous_mean: Tensor) -> Tensor:
        r"""Kullback-Leibler divergence of a Gaussian posterior from the causal model, in nats.

        With posterior :math:`N(\mu, \mathrm{diag}\,v)` and shift :math:`s` it is

        .. math::
            \tfrac12 \sum_j \big[(\mu - \mu A - \beta - s)_j^2 + v_j + \sum_i A_{ij}^2 v_i
            - \log v_j - 1\big],

        in closed form because the mechanisms are linear and :math:`|I - A| = 1`.

        Parameters
        ----------
        mean
            Posterior means, shape ``(n_cells, n_nodes)``.
        variance
            Posterior variances, same shape.
        exogenous_mean
            Shift of each cell's intervention plus covariate offsets, same shape or broadcastable.

        Returns
        -------
        Divergence per cell, shape ``(n_cells,)``.
        """
        unexplained = self.residual(mean) - exogenous_mean
        spread = variance + variance @ self.adjacency.square()
        return 0.5 * (unexplained.square() + spread - variance.log() - 1).sum(-1)
