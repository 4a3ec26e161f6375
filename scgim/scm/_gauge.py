r"""Choose the latent basis after training, and change to it exactly.

In a linear-Gaussian causal model the noise :math:`u = \beta + s + \varepsilon` has unit covariance,
the nodes are :math:`z = u(I - A)^{-1}` and the log-rates :math:`zW^\top`. Any invertible matrix
:math:`M` gives other nodes :math:`z' = uM` and the same cells. Written as :math:`M = QR` with
orthonormal :math:`Q` and upper triangular :math:`R` it is again a causal model, in the order of the
columns: the noise is rotated, :math:`u' = uQ`, shifts become :math:`s' = sQ`, and :math:`R` holds
the total effects. So a gauge is a choice of ordered directions :math:`M`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LOADING_SMOOTHING = 0.02
INTERVENTION_WEIGHT = 0.3
SHIFT_SCALE = 4.0
ORDER_PENALTY = 3.0
N_REPEATS = 4
N_STEPS = 250
LEARNING_RATE = 0.02
ROTATION_LEARNING_RATE = 0.05


@dataclass(frozen=True)
class GaugeProblem:
    r"""What the criterion of the gauge is computed from: the model's own weights, no cells.

    The criterion prefers gene programs that are sparse and shifts that are sparse for each
    perturbation,

    .. math::
        \sum_{gj} \Big(\sqrt{W'^2_{gj} + \epsilon^2} - \epsilon\Big)
        + b \sum_{kj} \log(1 + n_k s'^2_{kj} / 4),

    where :math:`W'` are the loadings of nodes with unit control variance.

    Attributes
    ----------
    loadings
        Genes x noise, :math:`W(I - A)^{-\top}`, centred, shape ``(n_genes, n_nodes)``.
    shifts
        Shift of each perturbation at saturating dose, shape ``(n_perturbations, n_nodes)``.
    n_cells
        Effective number of cells of each perturbation, shape ``(n_perturbations,)``.
    """

    loadings: Tensor
    shifts: Tensor
    n_cells: Tensor

    def loading_cost(self, directions: Tensor) -> Tensor:
        """Smoothed sum of absolute loadings, whatever the order.

        Parameters
        ----------
        directions
            Nodes of unit control variance as columns, shape ``(..., n_nodes, n_nodes)``.

        Returns
        -------
        Shape ``(...)``.
        """
        loadings = self.loadings @ torch.linalg.inv(directions).mT
        size = (loadings.square() + LOADING_SMOOTHING**2).sqrt() - LOADING_SMOOTHING
        return size.sum((-2, -1))

    def cost(self, directions: Tensor) -> Tensor:
        """Criterion of bases whose columns stand in causal order.

        Parameters
        ----------
        directions
            Nodes of unit control variance as columns, shape ``(..., n_nodes, n_nodes)``.

        Returns
        -------
        Shape ``(...)``.
        """
        evidence = self.n_cells[:, None] * self.rotated_shifts(directions).square()
        return self.loading_cost(directions) + INTERVENTION_WEIGHT * torch.log1p(
            evidence / SHIFT_SCALE
        ).sum((-2, -1))

    def order_cost(self, directions: Tensor) -> Tensor:
        """Cost of targets when each is paid for once: a truncated quadratic of the shifts.

        Parameters
        ----------
        directions
            Nodes of unit control variance as columns, shape ``(..., n_nodes, n_nodes)``.

        Returns
        -------
        Shape ``(...)``.
        """
        evidence = self.n_cells[:, None] * self.rotated_shifts(directions).square() / 2
        price = ORDER_PENALTY + 0.5 * self.n_cells.clamp(min=2).log()
        return torch.minimum(evidence, price[:, None]).sum((-2, -1))

    def rotated_shifts(self, directions: Tensor) -> Tensor:
        """Shifts in the noise of the new causal model, ``(..., n_perturbations, n_nodes)``."""
        return self.shifts @ split_directions(directions)[0]


@dataclass(frozen=True)
class Gauge:
    """A basis of the nodes, with what it cost.

    Attributes
    ----------
    directions
        Nodes of unit control variance as columns in causal order, in terms of the old noise,
        shape ``(n_nodes, n_nodes)``.
    cost
        Value of the criterion; lower is sparser.
    """

    directions: Tensor
    cost: float

    @property
    def noise_rotation(self) -> Tensor:
        """Orthonormal Q with new noise ``u @ Q``, shape ``(n_nodes, n_nodes)``."""
        return split_directions(self.directions)[0]

    @property
    def adjacency(self) -> Tensor:
        """Edge weights between nodes of unit noise, shape ``(n_nodes, n_nodes)``."""
        total = split_directions(self.directions)[1]
        total = total / total.diagonal()
        identity = torch.eye(len(total), dtype=total.dtype, device=total.device)
        return (identity - torch.linalg.inv(total)).triu(1)

    @property
    def node_change(self) -> Tensor:
        """Matrix with new nodes ``u @ node_change`` from old noise, in units of their noise."""
        return self.directions / split_directions(self.directions)[1].diagonal()


def find_gauges(
    problem: GaugeProblem,
    *,
    n_starts: int = 16,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Gauge]:
    """Search the basis with the sparsest programs and shifts, from many starts at once.

    Alternates a search over causal orders (insert moves) with gradient steps on the directions.
    The starts are a batch dimension, so many cost little more than one.

    Parameters
    ----------
    problem
        What the criterion is computed from.
    n_starts
        Random starts.
    seed
        Seed of the starts.
    on_step
        Called with the number of finished and of all stages.

    Returns
    -------
    One basis per start, best first.
    """
    generator = torch.Generator().manual_seed(seed)
    n_nodes = problem.shifts.shape[1]
    start = torch.randn(n_starts, n_nodes, n_nodes, generator=generator, dtype=torch.float64)
    start = torch.linalg.qr(start).Q.to(problem.loadings)
    directions = descend(problem.loading_cost, start, ROTATION_LEARNING_RATE)
    for stage in range(N_REPEATS):
        if on_step is not None:
            on_step(stage, N_REPEATS)
        directions = search_order(problem.order_cost, directions)
        directions = descend(problem.cost, directions, LEARNING_RATE)
    cost = problem.cost(directions)
    return [Gauge(directions[index], float(cost[index])) for index in cost.argsort().tolist()]


def descend(
    cost: Callable[[Tensor], Tensor], directions: Tensor, learning_rate: float
) -> Tensor:
    """Gradient steps on unit-norm directions, for many bases at once.

    Parameters
    ----------
    cost
        Criterion, ``(n_bases, n_nodes, n_nodes)`` -> ``(n_bases,)``.
    directions
        Start, shape ``(n_bases, n_nodes, n_nodes)``.
    learning_rate
        First step size of Adam; it falls linearly.

    Returns
    -------
    Directions, same shape, columns of unit norm.
    """
    free = directions.clone().requires_grad_()
    optimizer = torch.optim.Adam([free], lr=learning_rate)
    for step in range(N_STEPS):
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / N_STEPS) + 1e-4
        optimizer.zero_grad()
        cost(normalise_columns(free)).sum().backward()
        optimizer.step()
    return normalise_columns(free.detach())


def search_order(cost: Callable[[Tensor], Tensor], directions: Tensor) -> Tensor:
    """Reorder the nodes by insert moves until none lowers the cost, for many bases at once.

    Parameters
    ----------
    cost
        Criterion, ``(..., n_nodes, n_nodes)`` -> ``(...)``.
    directions
        Start, shape ``(n_bases, n_nodes, n_nodes)``.

    Returns
    -------
    The same columns, reordered.
    """
    moves = insert_moves(directions.shape[-1]).to(directions.device)
    rows = torch.arange(len(directions), device=directions.device)
    current = cost(directions)
    while True:
        candidates = directions[:, :, moves].movedim(2, 1)
        costs, best = cost(candidates).min(1)
        is_better = costs < current - 1e-6
        if not is_better.any():
            return directions
        directions = torch.where(is_better[:, None, None], candidates[rows, best], directions)
        current = torch.where(is_better, costs, current)


def insert_moves(n_nodes: int) -> Tensor:
    """All orders that differ from the given one by taking out one node and putting it elsewhere.

    Parameters
    ----------
    n_nodes
        Number of nodes.

    Returns
    -------
    Permutations, shape ``(n_moves, n_nodes)``, the identity first.
    """
    identity = list(range(n_nodes))
    moves = {tuple(identity): None}
    for taken in identity:
        rest = [node for node in identity if node != taken]
        for place in identity:
            moves[(*rest[:place], taken, *rest[place:])] = None
    return torch.tensor(list(moves))


def split_directions(directions: Tensor) -> tuple[Tensor, Tensor]:
    """QR decomposition with a positive diagonal: noise rotation and total effects.

    Parameters
    ----------
    directions
        Shape ``(..., n_nodes, n_nodes)``.

    Returns
    -------
    Orthonormal and upper triangular factor, both ``(..., n_nodes, n_nodes)``.
    """
    rotation, total = torch.linalg.qr(directions)
    sign = total.diagonal(dim1=-2, dim2=-1).sign().detach()
    return rotation * sign.unsqueeze(-2), total * sign.unsqueeze(-1)


def normalise_columns(directions: Tensor) -> Tensor:
    """Scale columns to unit norm, that is nodes to unit control variance."""
    return directions / directions.norm(dim=-2, keepdim=True)


def match_nodes(reference: Gauge, other: Gauge) -> tuple[Tensor, Tensor]:
    """Pair the nodes of two bases by the correlation of their values in control cells.

    Parameters
    ----------
    reference
        Basis whose nodes are kept in place.
    other
        Basis whose nodes are reordered.

    Returns
    -------
    Node of ``other`` for each node of ``reference`` and the sign of their correlation, both
    ``(n_nodes,)``.
    """
    from scipy.optimize import linear_sum_assignment

    correlation = reference.directions.T @ other.directions
    index = torch.as_tensor(linear_sum_assignment(-correlation.abs().numpy())[1])
    return index, correlation[torch.arange(len(index)), index].sign()
