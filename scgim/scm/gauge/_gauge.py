r"""Choose the latent basis after training, and change to it exactly.

In a linear-Gaussian causal model the noise :math:`u = \beta + s + \varepsilon` has unit covariance,
the nodes are :math:`z = u(I - A)^{-1}` and the log-rates :math:`zW^\top`. Any invertible matrix
:math:`M` gives other nodes :math:`z' = uM` and the same cells. Written as :math:`M = QR` with
orthonormal :math:`Q` and upper triangular :math:`R` it is again a causal model, in the order of the
columns: the noise is rotated, :math:`u' = uQ`, shifts become :math:`s' = sQ`, and :math:`R` holds
the total effects. So a gauge is a choice of ordered directions :math:`M`, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from scgim.scm.gauge._gene_lines import find_gene_lines

if TYPE_CHECKING:
    from collections.abc import Callable

# Rounds of order search and descent, those of the prototype study; steps of each descent, and
# learning rates of Adam on unit vectors: chosen, not tuned.
N_ROUNDS = 3
N_STEPS = 250
LEARNING_RATE = 0.02
ROTATION_LEARNING_RATE = 0.05
# The offset of genes without program starts near its place, so it moves less; chosen, not tuned.
OFFSET_FACTOR = 0.2
# Smoothed absolute loadings and their exchange rate with shifts, of the first two stages: the
# criterion of the prototype study.
LOADING_SMOOTHING = 0.02
FIRST_SHIFT_WEIGHT = 0.3
# A loading, a shift or an edge counts as one parameter of a heavy-tailed prior, log(1 + x^2), which
# bends at two standard errors of a loading or of a shift (as in the prototype study) and at an edge of
# twice EDGE_SD. How much loadings count beside shifts, and EDGE_SD, are chosen, not tuned.
LOADING_WEIGHT = 0.5
SHIFT_SCALE = 4.0
EDGE_SD = 0.05
# Keeps the programs of different nodes apart, since two equal programs would be sparse as well: large
# beside the gain of one such pair, small beside all loadings together. Chosen, not tuned.
VOLUME_WEIGHT = 50.0
# Price of a target in nats beside half the log of its cells: log prior odds of 1 in 20.
ORDER_PENALTY = 3.0
# Ranking of finished bases. Log prior odds of a loading, about 1 in 7, and its typical size in noise
# standard deviations per unit of log rate; chosen, not tuned.
SUPPORT_PRICE = 2.0
TYPICAL_LOADING = 0.3
# Misfit in nats from which on a gene counts by its logarithm, so that a few genes in three programs do
# not decide: six standard errors of a loading. Chosen, not tuned.
MISFIT_SCALE = 20.0
# Best bases that are polished where they disagree, which bounds time; and a difference in nats below
# which the data do not tell bases apart.
N_POLISHED = 4
SAME_COST = 1.0
# Bases whose cost is that close to the best, relative to it, describe the genes about as well.
NEAR_TIE = 0.02
# Orders that cost at most this much more, in nats, are as good.
ORDER_TIE = 5.0


class Bases(NamedTuple):
    """Many bases at once.

    Attributes
    ----------
    directions
        Nodes of unit control variance as columns in causal order, in terms of the old noise,
        shape ``(..., n_nodes, n_nodes)``.
    offset
        Loading of a gene that belongs to no program, in terms of the old noise, shape
        ``(..., n_nodes)``: softmax does not see what all genes have in common.
    """

    directions: Tensor
    offset: Tensor


@dataclass(frozen=True)
class GaugeProblem:
    r"""What the criterion of the gauge is computed from: the model's own weights, no cells.

    The criterion asks in which basis the fewest numbers are needed to say what the programs, the
    interventions and the graph are,

    .. math::
        \tfrac12 \sum_{gj} \log\Big(1 + \frac{t_{gj}^2}{4}\Big)
        + \sum_{kj} \log\Big(1 + \frac{n_k s'^2_{kj}}{4}\Big)
        + \sum_{ij} \log\Big(1 + \frac{A'^2_{ij}}{4\sigma_A^2}\Big)
        - \lambda \log|\det \bar D|.

    Here :math:`t_{gj}` is the loading of gene :math:`g` on node :math:`j` over its standard error. In
    units of its standard error a loading does not depend on the scale of the node, and neither
    on how strongly nodes are correlated, which an absolute loading does: absolute loadings
    prefer uncorrelated nodes to true ones. :math:`\bar D` has the dual directions, scaled to unit
    length, as columns; its determinant keeps two nodes from taking the same program.

    Attributes
    ----------
    loadings
        Genes x noise, :math:`W(I - A)^{-\top}`, shape ``(n_genes, n_nodes)``.
    loading_sd
        Standard error of the loadings of each gene, the same in all directions of the noise,
        shape ``(n_genes,)``.
    shifts
        Shift of each perturbation at saturating dose, shape ``(n_perturbations, n_nodes)``.
    n_cells
        Effective number of cells of each perturbation, shape ``(n_perturbations,)``.
    """

    loadings: Tensor
    loading_sd: Tensor
    shifts: Tensor
    n_cells: Tensor

    def absolute_loadings(self, bases: Bases) -> Tensor:
        """Smoothed sum of absolute loadings: a smooth first guide, whatever the order.

        Parameters
        ----------
        bases
            Bases.

        Returns
        -------
        Cost of each, shape ``(...)``.
        """
        loadings = self._centred(bases) @ torch.linalg.inv(bases.directions).mT
        size = (loadings.square() + LOADING_SMOOTHING**2).sqrt() - LOADING_SMOOTHING
        total: Tensor = size.sum((-2, -1))
        return total

    def first_cost(self, bases: Bases) -> Tensor:
        """Absolute loadings and sparse shifts, to come near the right basis."""
        return self.absolute_loadings(bases) + FIRST_SHIFT_WEIGHT * self.shift_cost(bases)

    def cost(self, bases: Bases) -> Tensor:
        """Criterion of the gauge.

        Parameters
        ----------
        bases
            Bases.

        Returns
        -------
        Cost of each, shape ``(...)``; lower is sparser.
        """
        return self.loading_cost(bases) + self.shift_cost(bases) + self.edge_cost(bases)

    def loading_cost(self, bases: Bases) -> Tensor:
        """Gene programs, in units of their standard errors; first and last term."""
        dual = torch.linalg.inv(bases.directions).mT
        dual = dual / dual.norm(dim=-2, keepdim=True)
        ratio = self._centred(bases) @ dual / self.loading_sd[:, None]
        sparsity = torch.log1p(ratio.square() / 4).sum((-2, -1))
        volume = torch.linalg.slogdet(dual).logabsdet
        total: Tensor = LOADING_WEIGHT * sparsity - VOLUME_WEIGHT * volume
        return total

    def shift_cost(self, bases: Bases) -> Tensor:
        """Interventions; second term."""
        rotation = split_directions(bases.directions)[0]
        return torch.log1p(self._evidence(rotation) / SHIFT_SCALE).sum((-2, -1))

    def edge_cost(self, bases: Bases) -> Tensor:
        """Causal graph; third term."""
        return _sparsity_of_edges(adjacency_of(bases.directions))

    def description_length(self, bases: Bases) -> Tensor:
        """Rank finished bases: how well at most two programs per gene explain its loadings.

        Each gene takes the support of none, one or two programs that explains its loadings best,
        at a price per loading; shifts and edges as in :meth:`cost`. It needs no smoothness and no
        volume term, and tells bases apart that :meth:`cost` does not; as a criterion for
        gradient steps from afar it has too many local optima.

        Parameters
        ----------
        bases
            Bases, leading dimension ``n_bases``.

        Returns
        -------
        Cost of each in nats, shape ``(n_bases,)``.
        """
        genes = torch.stack(
            [self._support_cost(Bases(*basis)) for basis in zip(*bases, strict=True)]
        )
        return genes + self.shift_cost(bases) + self.edge_cost(bases)

    def _support_cost(self, basis: Bases) -> Tensor:
        points = self._centred(basis) / self.loading_sd[:, None]
        price = SUPPORT_PRICE + 0.5 * torch.log1p(TYPICAL_LOADING**2 / self.loading_sd**2)
        along = points @ basis.directions
        cosine = basis.directions.T @ basis.directions
        n_nodes = len(cosine)
        first, second = torch.triu_indices(n_nodes, n_nodes, 1)
        shared = cosine[first, second]
        both = along[:, first].square() + along[:, second].square()
        both = (both - 2 * shared * along[:, first] * along[:, second]) / (1 - shared.square())
        one = along.square() / 2 - price[:, None]
        two = both / 2 - 2 * price[:, None]
        gain = torch.cat([torch.zeros_like(one[:, :1]), one, two], 1).logsumexp(1)
        unexplained = (points.square().sum(1) / 2 - gain).clamp(min=0)
        return (MISFIT_SCALE * torch.log1p(unexplained / MISFIT_SCALE)).sum()

    def order_cost(self, bases: Bases) -> Tensor:
        """Cost of a causal order: each target and each edge is paid for once.

        Parameters
        ----------
        bases
            Bases.

        Returns
        -------
        Cost of each, shape ``(...)``.
        """
        # split once for both terms: a search spends its time here
        rotation, total_effects = split_directions(bases.directions)
        evidence = self._evidence(rotation) / 2
        price = ORDER_PENALTY + 0.5 * self.n_cells.clamp(min=2).log()
        targets = -torch.logaddexp(-evidence, -price[:, None].expand_as(evidence))
        total: Tensor = targets.sum((-2, -1)) + _sparsity_of_edges(adjacency_from(total_effects))
        return total

    def _evidence(self, rotation: Tensor) -> Tensor:
        return self.n_cells[:, None] * (self.shifts @ rotation).square()

    def _centred(self, bases: Bases) -> Tensor:
        return self.loadings - bases.offset.unsqueeze(-2)


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

    def is_near(self, best: Gauge) -> bool:
        """Whether it costs at most 2 % more than another."""
        return self.cost < best.cost + NEAR_TIE * abs(best.cost)

    @property
    def noise_rotation(self) -> Tensor:
        """Orthonormal Q with new noise ``u @ Q``, shape ``(n_nodes, n_nodes)``."""
        return split_directions(self.directions)[0]

    @property
    def adjacency(self) -> Tensor:
        """Edge weights between nodes of unit noise, shape ``(n_nodes, n_nodes)``."""
        return adjacency_of(self.directions)

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

    Half of the starts are lines on which genes lie (:func:`find_gene_lines`) in random orders,
    half are random rotations. Alternates a search over causal orders (insert moves) with gradient
    steps on the directions; the starts are a batch dimension, so many cost little more than one.
    Where the best bases disagree, they are polished on the description length that ranks them, and
    of those within 2 % of the shortest the one with the sparsest interventions and graph is first.

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
    The bases found, best first.
    """
    n_lines = (n_starts + 1) // 2
    bases = _line_bases(problem, n_lines, seed)
    if n_starts > n_lines:
        random = _random_bases(problem, n_starts - n_lines, seed)
        random = descend(problem.absolute_loadings, random, ROTATION_LEARNING_RATE)
        random = search_order(problem.order_cost, random)
        random = descend(problem.first_cost, random, LEARNING_RATE)
        bases = Bases(*map(torch.cat, zip(bases, random, strict=True)))
    for stage in range(N_ROUNDS):
        if on_step is not None:
            on_step(stage, N_ROUNDS)
        bases = search_order(problem.order_cost, bases)
        bases = descend(problem.cost, bases, LEARNING_RATE)
    cost = problem.description_length(bases)
    bases = Bases(*(values[cost.argsort()] for values in bases))
    cost = cost.sort().values
    best = cost[:N_POLISHED]
    if best[-1] - best[0] > SAME_COST:
        bases = _polish(problem, Bases(*(values[: len(best)] for values in bases)))
        cost = problem.description_length(bases)
    is_tied = cost <= cost.min() + NEAR_TIE * cost.min().abs()
    first = torch.where(is_tied, problem.order_cost(bases), torch.inf).argmin()
    order = [int(first), *(i for i in cost.argsort().tolist() if i != first)]
    return [Gauge(bases.directions[i], float(cost[i])) for i in order]


def find_tied_orders(problem: GaugeProblem, gauge: Gauge) -> list[Gauge]:
    """Find other causal orders of the same nodes that cost nearly the same.

    An edge whose direction the data do not tell can be turned around at no cost, by putting one of
    its nodes elsewhere in the order.

    Parameters
    ----------
    problem
        What the criterion is computed from.
    gauge
        A basis.

    Returns
    -------
    The same directions in other orders, the cheapest first; not those whose graph is the same.
    """
    moves = insert_moves(len(gauge.directions))[1:]
    directions = gauge.directions[:, moves].movedim(1, 0)
    offset = gauge.directions.new_zeros(len(gauge.directions))
    own = problem.order_cost(Bases(gauge.directions, offset))
    extra = problem.order_cost(Bases(directions, offset.expand(len(moves), -1))) - own
    back = moves.argsort(1)
    graphs = adjacency_of(directions)
    graphs = graphs.gather(1, back[:, :, None].expand_as(graphs))
    graphs = graphs.gather(2, back[:, None, :].expand_as(graphs))
    changes = (graphs - gauge.adjacency).abs().amax((1, 2)) > EDGE_SD
    tied = [i for i in extra.argsort().tolist() if extra[i] < ORDER_TIE and changes[i]]
    return [Gauge(directions[i], gauge.cost + float(extra[i])) for i in tied]


def _polish(problem: GaugeProblem, bases: Bases) -> Bases:
    bases = descend(problem.description_length, bases, LEARNING_RATE)
    bases = search_order(problem.order_cost, bases)
    return descend(problem.description_length, bases, LEARNING_RATE / 2)


def _random_bases(problem: GaugeProblem, n_starts: int, seed: int) -> Bases:
    generator = torch.Generator().manual_seed(seed)
    n_nodes = problem.shifts.shape[1]
    start = torch.randn(n_starts, n_nodes, n_nodes, generator=generator, dtype=torch.float64)
    directions = torch.linalg.qr(start).Q.to(problem.loadings)
    median = (problem.loadings @ directions).quantile(0.5, dim=-2)
    return Bases(directions, (median.unsqueeze(-2) @ directions.mT).squeeze(-2))


def _line_bases(problem: GaugeProblem, n_starts: int, seed: int) -> Bases:
    """Lines of genes, in random orders."""
    lines, point = find_gene_lines(problem.loadings.numpy(), problem.loading_sd.numpy())
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(lines.shape[1], generator=generator) for _ in range(n_starts)]
    directions = torch.as_tensor(lines)[:, torch.stack(orders)].movedim(1, 0)
    return Bases(directions, torch.as_tensor(point).expand(n_starts, -1))


def descend(cost: Callable[[Bases], Tensor], bases: Bases, learning_rate: float) -> Bases:
    """Gradient steps on many bases at once.

    Parameters
    ----------
    cost
        Criterion of each basis.
    bases
        Start, leading dimension ``n_bases``.
    learning_rate
        First step size of Adam; it falls linearly.

    Returns
    -------
    Bases, columns of the directions of unit norm.
    """
    directions = bases.directions.clone().requires_grad_()
    offset = bases.offset.clone().requires_grad_()
    optimizer = torch.optim.Adam([{"params": [directions]}, {"params": [offset]}])
    for step in range(N_STEPS):
        rate = learning_rate * (1 - step / N_STEPS) + 1e-4
        optimizer.param_groups[0]["lr"] = rate
        optimizer.param_groups[1]["lr"] = OFFSET_FACTOR * rate
        optimizer.zero_grad()
        cost(Bases(normalise_columns(directions), offset)).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Bases(normalise_columns(directions.detach()), offset.detach())


def search_order(cost: Callable[[Bases], Tensor], bases: Bases) -> Bases:
    """Reorder the nodes by insert moves until none lowers the cost, for many bases at once.

    Parameters
    ----------
    cost
        Criterion of each basis.
    bases
        Start, leading dimension ``n_bases``.

    Returns
    -------
    The same directions, reordered.
    """
    directions, offset = bases
    moves = insert_moves(directions.shape[-1]).to(directions.device)
    directions, current = directions.clone(), cost(bases)
    active = torch.arange(len(directions), device=directions.device)
    while len(active):
        candidates = directions[active][:, :, moves].movedim(2, 1)
        costs, best = cost(Bases(candidates, offset[active].unsqueeze(1))).min(1)
        is_better = costs < current[active] - 1e-6
        improved = active[is_better]
        directions[improved] = candidates[is_better, best[is_better]]
        current[improved] = costs[is_better]
        active = improved
    return Bases(directions, offset)


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


def adjacency_of(directions: Tensor) -> Tensor:
    """Edge weights between nodes of unit noise that stand in causal order.

    Parameters
    ----------
    directions
        Nodes as columns, shape ``(..., n_nodes, n_nodes)``.

    Returns
    -------
    Strictly upper triangular, same shape.
    """
    return adjacency_from(split_directions(directions)[1])


def adjacency_from(total: Tensor) -> Tensor:
    """Edge weights between nodes of unit noise from their total effects.

    Parameters
    ----------
    total
        Upper triangular factor of :func:`split_directions`, shape ``(..., n_nodes, n_nodes)``.

    Returns
    -------
    Strictly upper triangular, same shape.
    """
    total = total / total.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)
    identity = torch.eye(total.shape[-1], dtype=total.dtype, device=total.device)
    adjacency: Tensor = (identity - torch.linalg.inv(total)).triu(1)
    return adjacency


def _sparsity_of_edges(adjacency: Tensor) -> Tensor:
    return torch.log1p(adjacency.square() / (4 * EDGE_SD**2)).sum((-2, -1))


def normalise_columns(directions: Tensor) -> Tensor:
    """Scale columns to unit norm, that is nodes to unit control variance."""
    unit: Tensor = directions / directions.norm(dim=-2, keepdim=True)
    return unit


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
    correlation = reference.directions.T @ other.directions
    index = torch.as_tensor(linear_sum_assignment(-correlation.abs().numpy())[1])
    return index, correlation[torch.arange(len(index)), index].sign()
