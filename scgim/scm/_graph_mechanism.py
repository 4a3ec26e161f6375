from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from scgim.scm._mlp_mechanism import N_HIDDEN, MLPMechanism
from scgim.scm._named_nodes import LinearNodeMechanism, causal_order

if TYPE_CHECKING:
    from scgim._types import FloatArray
    from scgim.scm._interventions import Intervention
    from scgim.scm._named_nodes import NodeMechanism


class GraphMechanism(nn.Module):
    r"""Mechanisms of named nodes along any acyclic graph, linear or with hidden units.

    .. math::
        z_j = \beta_j + \sum_i A_{ij} z_i + \sum_h v_{jh}\tanh(\sum_i W_{ijh} z_i + c_{jh})
        + \sigma_j \varepsilon_j

    Not trained by gradients: :meth:`assign` takes what
    :func:`~scgim.scm.fit_named_nodes` found.

    Parameters
    ----------
    n_nodes
        Number of nodes.
    is_linear
        Leave the hidden units out.
    """

    edge_weight: Tensor
    linear: Tensor
    offset: Tensor
    noise_sd: Tensor
    inner: Tensor
    bias: Tensor
    outer: Tensor

    def __init__(self, n_nodes: int, *, is_linear: bool = True) -> None:
        super().__init__()
        n_hidden = 0 if is_linear else N_HIDDEN
        self.register_buffer("edge_weight", torch.zeros(n_nodes, n_nodes))
        self.register_buffer("linear", torch.zeros(n_nodes, n_nodes))
        self.register_buffer("offset", torch.zeros(n_nodes))
        self.register_buffer("noise_sd", torch.ones(n_nodes))
        self.register_buffer("inner", torch.zeros(n_nodes, n_nodes, n_hidden))
        self.register_buffer("bias", torch.zeros(n_nodes, n_hidden))
        self.register_buffer("outer", torch.zeros(n_nodes, n_hidden))

    @property
    def adjacency(self) -> Tensor:
        """Edge weights, ``[parent, child]``; the mean slope where mechanisms are not linear."""
        return self.edge_weight

    @torch.no_grad()
    def assign(self, mechanism: NodeMechanism, values: FloatArray) -> None:
        """Take over fitted mechanisms, in place.

        Parameters
        ----------
        mechanism
            Linear or neural mechanisms.
        values
            Node values over which slopes are averaged, shape ``(n_cells, n_nodes)``.
        """
        self.noise_sd.copy_(torch.as_tensor(np.sqrt(mechanism.noise_variance)))
        if isinstance(mechanism, LinearNodeMechanism):
            self.linear.copy_(torch.as_tensor(mechanism.weights))
            self.offset.copy_(torch.as_tensor(mechanism.offset))
            self.edge_weight.copy_(self.linear)
            return
        assert isinstance(mechanism, MLPMechanism)
        self.offset.copy_(torch.as_tensor(mechanism.offset))
        self.bias.copy_(torch.as_tensor(mechanism.bias))
        self.outer.copy_(torch.as_tensor(mechanism.outer))
        self.linear.zero_()
        self.inner.zero_()
        for node, (parents, is_parent) in enumerate(
            zip(mechanism.parents, mechanism.is_parent, strict=True)
        ):
            real = parents[is_parent]
            self.linear[real, node] = torch.as_tensor(mechanism.linear[node, is_parent]).to(
                self.linear
            )
            self.inner[real, node] = torch.as_tensor(mechanism.inner[node, is_parent]).to(
                self.inner
            )
        nodes = torch.as_tensor(values, dtype=self.linear.dtype, device=self.linear.device)
        slope = 1 - torch.tanh(self._hidden_input(nodes)).square().mean(0)
        self.edge_weight.copy_(
            self.linear + torch.einsum("ijh,jh,jh->ij", self.inner, self.outer, slope)
        )

    def residual(self, nodes: Tensor) -> Tensor:
        """Take away what the parents explain.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.

        Returns
        -------
        Exogenous input of each node, in node units, same shape.
        """
        return nodes - self.mean(nodes)

    def solve(self, exogenous: Tensor) -> Tensor:
        """Let exogenous input flow through the graph; the inverse of :meth:`residual`.

        Parameters
        ----------
        exogenous
            Noise plus shifts in node units, shape ``(..., n_nodes)``.

        Returns
        -------
        Node values, same shape.
        """
        return self._flow(exogenous, torch.ones_like(exogenous[..., :1, :]))

    def abduct(self, nodes: Tensor, node_offset: Tensor | float = 0.0) -> Tensor:
        """Recover the noise of unperturbed cells.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.
        node_offset
            What covariates add to the mechanisms.

        Returns
        -------
        Exogenous noise in its standard deviations, same shape.
        """
        return (self.residual(nodes) - node_offset) / self.noise_sd

    def push(
        self, noise: Tensor, intervention: Intervention, node_offset: Tensor | float = 0.0
    ) -> Tensor:
        """Push noise through the intervened graph, node by node in causal order.

        Parameters
        ----------
        noise
            Exogenous noise in its standard deviations, shape ``(..., n_nodes)``.
        intervention
            What is done to each mechanism, in node units.
        node_offset
            What covariates add to the mechanisms.

        Returns
        -------
        Node values.
        """
        keep = 1 - intervention.is_cut
        exogenous = intervention.shift + intervention.noise_scale * noise * self.noise_sd
        return self._flow(exogenous + keep * node_offset, keep)

    def mean(self, nodes: Tensor) -> Tensor:
        """Mean of every node given its parents.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.

        Returns
        -------
        Means, same shape.
        """
        hidden = torch.tanh(self._hidden_input(nodes))
        return nodes @ self.linear + self.offset + (hidden * self.outer).sum(-1)

    def _hidden_input(self, nodes: Tensor) -> Tensor:
        return torch.einsum("...i,ijh->...jh", nodes, self.inner) + self.bias

    def _flow(self, exogenous: Tensor, keep: Tensor) -> Tensor:
        """Values of all nodes; cut nodes do not follow their parents."""
        keep = keep.expand(exogenous.shape)
        nodes = torch.zeros_like(exogenous)
        for node in causal_order((self.edge_weight != 0).cpu().numpy()):
            mean = nodes @ self.linear[:, node] + self.offset[node]
            if self.bias.shape[1]:
                hidden = torch.tanh(nodes @ self.inner[:, node] + self.bias[node])
                mean = mean + hidden @ self.outer[node]
            nodes[..., node] = keep[..., node] * mean + exogenous[..., node]
        return nodes
