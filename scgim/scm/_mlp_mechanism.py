from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray

N_HIDDEN = 16
N_BATCHES = 8
N_STEPS = 800
LEARNING_RATE = 0.02
WARM_UP = 50
DECAY_FROM = 0.4
PENALTY = 2e-4
CONTROL_CHUNK = 50


@dataclass(frozen=True)
class MLPMechanism:
    r"""Non-linear mechanisms, :math:`f_j(x) = b_j + x_P w_j + \sum_h v_{jh}\tanh(x_P W_{jh} + c_{jh})`.

    Attributes
    ----------
    parents
        Parents of each node, padded with 0, shape ``(n_nodes, n_slots)``.
    is_parent
        Which slots are real, same shape.
    linear
        Linear weights, same shape.
    inner
        Weights into hidden units, shape ``(n_nodes, n_slots, n_hidden)``.
    bias
        Biases of hidden units, shape ``(n_nodes, n_hidden)``.
    outer
        Weights out of hidden units, same shape.
    offset
        Offsets, shape ``(n_nodes,)``.
    noise_variance
        Variances of the exogenous noise, shape ``(n_nodes,)``.
    """

    parents: IntArray
    is_parent: BoolArray
    linear: FloatArray
    inner: FloatArray
    bias: FloatArray
    outer: FloatArray
    offset: FloatArray
    noise_variance: FloatArray

    def mean(self, node: int, values: FloatArray) -> FloatArray:
        """Mean of a node given its parents.

        Parameters
        ----------
        node
            Node.
        values
            Values of all nodes, shape ``(n_cells, n_nodes)``; only the parents are read.

        Returns
        -------
        Means, shape ``(n_cells,)``.
        """
        real = self.is_parent[node]
        inputs = values[:, self.parents[node, real]]
        hidden = np.tanh(inputs @ self.inner[node, real] + self.bias[node])
        mean: FloatArray = inputs @ self.linear[node, real] + hidden @ self.outer[node]
        shifted: FloatArray = mean + self.offset[node]
        return shifted


class _Weights(NamedTuple):
    linear: Tensor
    inner: Tensor
    bias: Tensor
    outer: Tensor
    offset: Tensor


def fit_mlp_mechanism(
    values: FloatArray,
    condition: IntArray,
    adjacency: BoolArray,
    *,
    is_shifted: BoolArray,
    is_replaced: BoolArray,
    seed: int,
    n_steps: int = N_STEPS,
) -> MLPMechanism:
    """Fit all mechanisms at once by gradient descent, given graph and targets.

    The shift of a targeted node is free in every condition, so residuals are centred there; cells in
    which a node's mechanism is replaced do not count for that node.

    Parameters
    ----------
    values
        Node values of cells, shape ``(n_cells, n_nodes)``.
    condition
        Condition of each cell.
    adjacency
        Acyclic graph, ``[parent, child]``.
    is_shifted
        Whether a node is shifted in a condition, shape ``(n_conditions, n_nodes)``.
    is_replaced
        Whether its mechanism is replaced there, same shape.
    seed
        Seed of the initial weights and of the batches.
    n_steps
        Gradient steps.

    Returns
    -------
    The mechanisms.
    """
    generator = torch.Generator().manual_seed(seed)
    data = torch.as_tensor(values, dtype=torch.float32)
    parents, is_parent = _pad_parents(adjacency)
    weights = _initial_weights(is_parent, generator)
    optimizer = torch.optim.Adam([weight.requires_grad_() for weight in weights], LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _learning_rate_factor(step, n_steps)
    )
    shifted, kept = torch.as_tensor(is_shifted), torch.as_tensor(~is_replaced).float()
    group = torch.as_tensor(_chunk_untargeted(condition, is_shifted))
    owner = torch.as_tensor(condition)
    batches: list[Tensor] = []
    for _ in range(n_steps):
        batches = batches or _split_by_group(group, generator)
        cells = batches.pop()
        residual = _residual(data[cells], parents, is_parent, weights)
        here = owner[cells]
        centred = _centre_shifted(residual, here, shifted)
        counts = kept[here]
        variance = (centred.square() * counts).sum(0) / counts.sum(0).clamp_min(1.0)
        loss = 0.5 * variance.clamp_min(1e-8).log().sum() + PENALTY * _size(weights)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        residual = _residual(data, parents, is_parent, weights)
        free = kept[owner] * (~shifted[owner]).float()
        weights = weights._replace(
            offset=weights.offset + (residual * free).sum(0) / free.sum(0).clamp_min(1.0)
        )
        residual = _residual(data, parents, is_parent, weights)
        counts = kept[owner]
        centred = _centre_shifted(residual, owner, shifted)
        variance = (centred.square() * counts).sum(0) / counts.sum(0).clamp_min(1.0)
    arrays = {name: weight.detach().double().numpy() for name, weight in weights._asdict().items()}
    return MLPMechanism(
        parents=parents.numpy(),
        is_parent=is_parent.numpy(),
        noise_variance=variance.double().numpy(),
        **arrays,
    )


def _pad_parents(adjacency: BoolArray) -> tuple[Tensor, Tensor]:
    n_slots = max(int(adjacency.sum(axis=0).max()), 1)
    # A stable sort of "is no parent" puts the parents of each node first.
    parents = np.argsort(~adjacency, axis=0, kind="stable")[:n_slots].T
    is_parent = np.take_along_axis(adjacency.T, parents, axis=1)
    return torch.as_tensor(np.where(is_parent, parents, 0)), torch.as_tensor(is_parent)


def _initial_weights(is_parent: Tensor, generator: torch.Generator) -> _Weights:
    n_nodes, n_slots = is_parent.shape

    def draw(scale: float, *shape: int) -> Tensor:
        return scale * torch.randn(shape, generator=generator)

    return _Weights(
        linear=torch.zeros(n_nodes, n_slots),
        inner=draw(0.7, n_nodes, n_slots, N_HIDDEN),
        bias=draw(0.7, n_nodes, N_HIDDEN),
        outer=draw(0.1, n_nodes, N_HIDDEN),
        offset=torch.zeros(n_nodes),
    )


def _learning_rate_factor(step: int, n_steps: int) -> float:
    share = step / n_steps
    if share < DECAY_FROM:
        return min(1.0, (step + 1) / WARM_UP)
    return 0.5 * (1 + math.cos(math.pi * (share - DECAY_FROM) / (1 - DECAY_FROM)))


def _chunk_untargeted(condition: IntArray, is_shifted: BoolArray) -> IntArray:
    """Group cells for batching: conditions with targets stay whole, others go in chunks."""
    order = np.argsort(condition, kind="stable")
    first = np.searchsorted(condition[order], condition[order])
    rank = np.empty(len(condition), dtype=np.int64)
    rank[order] = np.arange(len(condition)) - first
    has_target = np.asarray(is_shifted.any(axis=1))
    chunk = np.where(has_target[condition], 0, rank // CONTROL_CHUNK)
    _, group = np.unique(np.column_stack([condition, chunk]), axis=0, return_inverse=True)
    return group.ravel().astype(np.int64)


def _split_by_group(group: Tensor, generator: torch.Generator) -> list[Tensor]:
    n_groups = int(group.max()) + 1
    batch = torch.randperm(n_groups, generator=generator) % min(N_BATCHES, n_groups)
    return [torch.nonzero(batch[group] == index)[:, 0] for index in range(int(batch.max()) + 1)]


def _residual(values: Tensor, parents: Tensor, is_parent: Tensor, weights: _Weights) -> Tensor:
    inputs = (values[:, parents] * is_parent).transpose(0, 1)
    hidden = torch.tanh(torch.baddbmm(weights.bias[:, None], inputs, weights.inner))
    mean = torch.bmm(hidden, weights.outer[..., None]) + torch.bmm(
        inputs, weights.linear[..., None]
    )
    return values - mean[..., 0].T - weights.offset


def _centre_shifted(residual: Tensor, condition: Tensor, is_shifted: Tensor) -> Tensor:
    """Take the mean residual of a condition away where the node is shifted, with Bessel's factor."""
    total = torch.zeros(is_shifted.shape).index_add(0, condition, residual)
    count = torch.bincount(condition, minlength=len(is_shifted))[:, None].float()
    mean = torch.where(is_shifted, total / count.clamp_min(1.0), 0.0)
    bessel = torch.where(is_shifted, (count / (count - 1).clamp_min(1.0)).sqrt(), 1.0)
    return (residual - mean[condition]) * bessel[condition]


def _size(weights: _Weights) -> Tensor:
    return weights.inner.square().sum() * 0.1 + weights.outer.square().sum()
