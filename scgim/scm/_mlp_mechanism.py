from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scgim.scm._mechanism import Mechanism
from scgim.scm._mechanism_fit import N_STEPS, ProfileLikelihood

if TYPE_CHECKING:
    from scgim._types import BoolArray
    from scgim.scm._mechanism_fit import MechanismData

# Hidden units of each node, as many as the mechanisms of scgim.datasets.GenesWorld have.
N_HIDDEN = 16
# Spread of the initial weights: into units so that tanh bends within the range of standardised
# nodes, out of them small, so that fits start near the linear model. Chosen, not tuned.
INNER_SD = 0.7
OUTER_SD = 0.1
# Weights into units choose their shape and not their size, so they are held less firmly; chosen, not
# tuned.
INNER_PENALTY = 0.1


class MLPMechanism(Mechanism):
    r"""Non-linear mechanisms, :math:`f_j(z) = \sum_i L_{ij} z_i + \sum_h v_{jh}\tanh(\sum_i W_{ijh} z_i + c_{jh})`.

    Parameters
    ----------
    n_nodes
        Number of nodes.
    n_hidden
        Hidden units of each node.
    """

    def __init__(self, n_nodes: int, n_hidden: int = N_HIDDEN) -> None:
        super().__init__(n_nodes)
        self.linear = nn.Parameter(torch.zeros(n_nodes, n_nodes))
        self.inner = nn.Parameter(torch.zeros(n_nodes, n_nodes, n_hidden))
        self.bias = nn.Parameter(torch.zeros(n_nodes, n_hidden))
        self.outer = nn.Parameter(torch.zeros(n_nodes, n_hidden))

    def parent_effect(self, nodes: Tensor) -> Tensor:
        """Let parents act linearly and through hidden units, see :meth:`Mechanism.parent_effect`."""
        return self._effect(nodes, slice(None))

    def mean_of(self, which: Tensor, nodes: Tensor) -> Tensor:
        """Mean of some nodes given their parents, see :meth:`Mechanism.mean_of`."""
        return self.offset[which] + self._effect(nodes, which)

    def _effect(self, nodes: Tensor, which: Tensor | slice) -> Tensor:
        hidden = torch.tanh(self._hidden_input(nodes, which))
        linear = (self.linear * self.is_edge)[:, which]
        return nodes @ linear + (hidden * self.outer[which]).sum(-1)

    def _hidden_input(self, nodes: Tensor, which: Tensor | slice = slice(None)) -> Tensor:
        inner = (self.inner * self.is_edge[..., None])[:, which]
        return torch.einsum("...i,ijh->...jh", nodes, inner) + self.bias[which]

    def fit(self, data: MechanismData) -> None:
        """Fit all mechanisms at once by gradient descent, see :meth:`Mechanism.fit`.

        Parameters
        ----------
        data
            Cells, graph and targets.
        """
        self._fit(data, N_STEPS)

    def _fit(self, data: MechanismData, n_steps: int) -> None:
        # Slots for parents in place of all pairs, since most pairs of nodes have no edge.
        generator = torch.Generator().manual_seed(data.seed)
        slots = _Slots.of(data.graph)
        likelihood = ProfileLikelihood(data, torch.zeros(0))
        with torch.enable_grad():
            weights = _Weights.draw(slots, self.bias.shape[1], generator)
            likelihood.maximise(
                weights, lambda values: weights.residual(values, slots), weights.size, generator,
                n_steps=n_steps,
            )  # fmt: skip
        with torch.no_grad():
            residual = weights.residual(likelihood.values, slots)
            weights.offset.add_(likelihood.free_mean(residual))
            residual = weights.residual(likelihood.values, slots)
            self.noise_sd.copy_(likelihood.noise_variance(residual).sqrt())
            self._take(weights, slots, data.graph)
            nodes = torch.as_tensor(data.values).to(self.offset)
            slope = 1 - torch.tanh(self._hidden_input(nodes)).square().mean(0)
            through = torch.einsum("ijh,jh,jh->ij", self.inner, self.outer, slope)
            self.edge_weight.copy_(self.linear + through)

    def _take(self, weights: _Weights, slots: _Slots, graph: BoolArray) -> None:
        """Spread weights of slots over all pairs of nodes."""
        self.is_edge.copy_(torch.as_tensor(graph))
        child, slot = torch.nonzero(slots.is_parent, as_tuple=True)
        parent = slots.parents[child, slot]
        self.linear.zero_()[parent, child] = weights.linear[child, slot].to(self.linear)
        self.inner.zero_()[parent, child] = weights.inner[child, slot].to(self.inner)
        for name in ("offset", "bias", "outer"):
            getattr(self, name).copy_(getattr(weights, name))


class _Slots(NamedTuple):
    """Parents of each node, padded with node 0, and which of them are real, ``(n_nodes, n_slots)``."""

    parents: Tensor
    is_parent: Tensor

    @classmethod
    def of(cls, graph: BoolArray) -> _Slots:
        n_slots = max(int(graph.sum(axis=0).max()), 1)
        # A stable sort of "is no parent" puts the parents of each node first.
        parents = np.argsort(~graph, axis=0, kind="stable")[:n_slots].T
        is_parent = np.take_along_axis(graph.T, parents, axis=1)
        return cls(torch.as_tensor(np.where(is_parent, parents, 0)), torch.as_tensor(is_parent))


class _Weights(NamedTuple):
    """Weights of the slots of each node, in float32."""

    linear: Tensor  # (n_nodes, n_slots)
    inner: Tensor  # (n_nodes, n_slots, n_hidden)
    bias: Tensor  # (n_nodes, n_hidden)
    outer: Tensor  # (n_nodes, n_hidden)
    offset: Tensor  # (n_nodes,)

    @classmethod
    def draw(cls, slots: _Slots, n_hidden: int, generator: torch.Generator) -> _Weights:
        n_nodes, n_slots = slots.is_parent.shape

        def draw(scale: float, *shape: int) -> Tensor:
            return scale * torch.randn(shape, generator=generator)

        weights = cls(
            linear=torch.zeros(n_nodes, n_slots),
            inner=draw(INNER_SD, n_nodes, n_slots, n_hidden),
            bias=draw(INNER_SD, n_nodes, n_hidden),
            outer=draw(OUTER_SD, n_nodes, n_hidden),
            offset=torch.zeros(n_nodes),
        )
        return cls(*(weight.requires_grad_() for weight in weights))

    def residual(self, values: Tensor, slots: _Slots) -> Tensor:
        inputs = (values[:, slots.parents] * slots.is_parent).transpose(0, 1)
        hidden = torch.tanh(torch.baddbmm(self.bias[:, None], inputs, self.inner))
        mean = torch.bmm(hidden, self.outer[..., None]) + torch.bmm(inputs, self.linear[..., None])
        return values - mean[..., 0].T - self.offset

    def size(self) -> Tensor:
        return INNER_PENALTY * self.inner.square().sum() + self.outer.square().sum()
