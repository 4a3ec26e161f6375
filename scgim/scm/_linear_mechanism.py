from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scgim.scm._graph import compute_total_effects
from scgim.scm._mechanism import Mechanism

if TYPE_CHECKING:
    from scgim.scm._interventions import Intervention
    from scgim.scm._mechanism_fit import MechanismData


class LinearMechanism(Mechanism):
    r"""Linear mechanisms, :math:`z = \beta + zA + \sigma\varepsilon`.

    Between programs and latent factors the noise has unit variance and the graph is all edges from
    earlier to later nodes: the scale of a node is carried by what it does to the genes, so any other
    choice is the same model in other units. Between named genes graph, weights and noise are those
    that :meth:`fit` takes from the search.

    Parameters
    ----------
    n_nodes
        Number of nodes.
    """

    is_linear = True

    def __init__(self, n_nodes: int) -> None:
        super().__init__(n_nodes)
        self.weight = nn.Parameter(torch.zeros(n_nodes, n_nodes))
        # The weights are the slopes.
        self.register_buffer("edge_weight", None)

    @property
    def adjacency(self) -> Tensor:
        """Edge weights, shape ``(n_nodes, n_nodes)``; ``adjacency[i, j]`` is the edge i → j."""
        return self.weight * self.is_edge

    def parent_effect(self, nodes: Tensor) -> Tensor:
        """Sum the parents by their edge weights, see :meth:`Mechanism.parent_effect`."""
        return nodes @ self.adjacency

    def mean_of(self, which: Tensor, nodes: Tensor) -> Tensor:
        """Mean of some nodes given their parents, see :meth:`Mechanism.mean_of`."""
        return nodes @ self.adjacency[:, which] + self.offset[which]

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
        own = exogenous.to(self.offset)
        return ((self.offset + own) @ compute_total_effects(self.adjacency)).to(exogenous)

    def simulate(
        self, noise: Tensor, intervention: Intervention, node_offset: Tensor | float = 0.0
    ) -> Tensor:
        """Push noise through the intervened graph, see :meth:`Mechanism.simulate`."""
        if bool(intervention.is_cut.any()):
            return super().simulate(noise, intervention, node_offset)
        exogenous = intervention.shift + intervention.noise_scale * (noise * self.noise_sd)
        return self.solve(exogenous + node_offset).to(noise)

    @torch.no_grad()
    def fit(self, data: MechanismData) -> None:
        """Take over, in place, what the search found from sufficient statistics.

        Parameters
        ----------
        data
            Graph and linear mechanisms.
        """
        self.is_edge.copy_(torch.as_tensor(data.graph))
        self.weight.copy_(torch.as_tensor(data.linear_weights))
        self.offset.copy_(torch.as_tensor(data.linear_offset))
        self.noise_sd.copy_(torch.as_tensor(data.linear_noise_variance).sqrt())

    def divergence(self, mean: Tensor, variance: Tensor, exogenous_mean: Tensor) -> Tensor:
        r"""Kullback-Leibler divergence of a Gaussian posterior from the causal model, in nats.

        With posterior :math:`N(\mu, \mathrm{diag}\,v)`, unit noise and shift :math:`s` it is

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

    def upgrade_state(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Bring tensors that 0.1 saved to the names of this class, see :meth:`Mechanism.upgrade_state`.

        Programs had ``graph.weight``, named genes ``linear`` and units that did nothing.
        """
        earlier = [old for old in ("graph.weight", "linear") if f"{prefix}{old}" in state_dict]
        if not earlier:
            return
        state_dict[f"{prefix}weight"] = state_dict.pop(f"{prefix}{earlier[0]}")
        super().upgrade_state(state_dict, prefix)
        for old in ("edge_weight", "inner", "bias", "outer"):
            state_dict.pop(f"{prefix}{old}", None)
