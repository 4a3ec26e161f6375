"""Gradient descent on the likelihood of all mechanisms, given graph and targets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scgim._types import BoolArray, FloatArray, IntArray

# Schedule of Adam for standardised nodes: chosen, not tuned.
N_STEPS = 800
LEARNING_RATE = 0.02
# Steps in which the learning rate rises, and the share of steps after which it falls as a cosine;
# chosen, not tuned.
WARM_UP = 50
DECAY_FROM = 0.4
# Minibatches per pass over the cells; chosen, not tuned.
N_BATCHES = 8
# Weight of the squared parameters beside the likelihood per cell, in nats; chosen, not tuned.
PENALTY = 2e-4
# Cells of conditions without targets are batched in chunks of so many; chosen, not tuned. Those of
# conditions with targets stay together, since their mean is taken away.
CONTROL_CHUNK = 50
# Keeps the logarithm of a variance finite where a mechanism explains all.
MIN_VARIANCE = 1e-8


@dataclass(frozen=True)
class MechanismData:
    """What mechanisms are fitted to, once graph and targets are found.

    Attributes
    ----------
    values
        Node values of cells, standardised by the control cells, shape ``(n_cells, n_nodes)``.
    condition
        Condition of each cell, shape ``(n_cells,)``.
    graph
        Acyclic graph, ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    is_shifted
        Whether a node is shifted in a condition, so that its mean is free there, shape
        ``(n_conditions, n_nodes)``.
    is_replaced
        Whether its mechanism or its noise is another one there, so that these cells say nothing of
        it, same shape.
    linear_weights, linear_offset, linear_noise_variance
        The linear mechanisms that the search found from sufficient statistics, shapes ``(n_nodes,
        n_nodes)``, ``(n_nodes,)`` and ``(n_nodes,)``. With counts they are free of counting noise,
        which ``values`` are not. Where the search used splines, the weights are those of the linear
        terms alone.
    seed
        Seed of all that is random in the fit.
    """

    values: FloatArray
    condition: IntArray
    graph: BoolArray
    is_shifted: BoolArray
    is_replaced: BoolArray
    linear_weights: FloatArray
    linear_offset: FloatArray
    linear_noise_variance: FloatArray
    seed: int


class ProfileLikelihood:
    r"""Gaussian likelihood of residuals with their variances, and free shifts, profiled out.

    The cost per cell is :math:`\tfrac12 \sum_j \log \hat\sigma_j^2`, where :math:`\hat\sigma_j^2` is
    the variance of the residuals of node j. Where j is shifted they are centred within the condition,
    with Bessel's factor; cells in which its mechanism is replaced do not count for j.

    Parameters
    ----------
    data
        Cells, graph and targets.
    like
        Tensor whose type and device to compute in.
    """

    def __init__(self, data: MechanismData, like: Tensor) -> None:
        self.values = torch.as_tensor(data.values).to(like)
        self._owner = torch.as_tensor(data.condition, device=like.device)
        self._is_shifted = torch.as_tensor(data.is_shifted, device=like.device)
        self._is_kept = torch.as_tensor(~data.is_replaced).to(like)
        self._group = torch.as_tensor(_chunk_untargeted(data.condition, data.is_shifted))

    def maximise(
        self,
        parameters: Iterable[Tensor],
        residual: Callable[[Tensor], Tensor],
        size: Callable[[], Tensor],
        generator: torch.Generator,
        *,
        n_steps: int = N_STEPS,
    ) -> None:
        """Move parameters, in place, to where residuals are likeliest.

        Parameters
        ----------
        parameters
            Leaves that require gradients.
        residual
            Node values → exogenous input, ``(n_cells, n_nodes)`` each, given the parameters.
        size
            Squared size of the parameters, which is penalised.
        generator
            Source of the minibatches.
        n_steps
            Gradient steps.
        """
        optimizer = torch.optim.Adam(parameters, LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: _learning_rate_factor(step, n_steps)
        )
        batches: list[Tensor] = []
        for _ in range(n_steps):
            batches = batches or self._split(generator)
            cells = batches.pop()
            variance = self._variance(residual(self.values[cells]), self._owner[cells])
            loss = 0.5 * variance.clamp_min(MIN_VARIANCE).log().sum() + PENALTY * size()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()

    def free_mean(self, residual: Tensor) -> Tensor:
        """Mean residual of each node over cells in which nothing is done to it, ``(n_nodes,)``."""
        free = self._is_kept[self._owner] * (~self._is_shifted[self._owner])
        mean: Tensor = (residual * free).sum(0) / free.sum(0).clamp_min(1.0)
        return mean

    def noise_variance(self, residual: Tensor) -> Tensor:
        """Variance of the exogenous noise of each node, ``(n_nodes,)``."""
        return self._variance(residual, self._owner)

    def _variance(self, residual: Tensor, owner: Tensor) -> Tensor:
        counts = self._is_kept[owner]
        centred = _centre_shifted(residual, owner, self._is_shifted)
        variance: Tensor = (centred.square() * counts).sum(0) / counts.sum(0).clamp_min(1.0)
        return variance

    def _split(self, generator: torch.Generator) -> list[Tensor]:
        """Minibatches of whole groups of cells, in random order."""
        n_groups = int(self._group.max()) + 1
        batch = torch.randperm(n_groups, generator=generator) % min(N_BATCHES, n_groups)
        of_cell = batch[self._group]
        return [torch.nonzero(of_cell == index)[:, 0] for index in range(int(batch.max()) + 1)]


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


def _centre_shifted(residual: Tensor, condition: Tensor, is_shifted: Tensor) -> Tensor:
    """Take the mean residual of a condition away where the node is shifted, with Bessel's factor."""
    total = residual.new_zeros(is_shifted.shape).index_add(0, condition, residual)
    count = torch.bincount(condition, minlength=len(is_shifted))[:, None].to(residual)
    mean = torch.where(is_shifted, total / count.clamp_min(1.0), 0.0)
    bessel = torch.where(is_shifted, (count / (count - 1).clamp_min(1.0)).sqrt(), 1.0)
    return (residual - mean[condition]) * bessel[condition]
