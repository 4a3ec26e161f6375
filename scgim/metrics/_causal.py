"""How far a predicted causal model is from the true one: distributions, likelihood, effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from scgim.metrics._checks import check_finite, check_same_columns, check_same_shape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def mean_error(predicted: ArrayLike, true: ArrayLike) -> float:
    r"""Compute the mean over conditions of :math:`\|\hat\mu - \mu\|_2`.

    Parameters
    ----------
    predicted
        Predicted means, shape ``(n_conditions, n_nodes)``.
    true
        True means, same shape.

    Returns
    -------
    Mean error, in the unit of the nodes.

    Examples
    --------
    >>> mean_error([[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]])
    3.0
    """
    estimate, truth = np.asarray(predicted, dtype=float), np.asarray(true, dtype=float)
    check_same_shape(predicted=estimate, true=truth)
    check_finite(predicted=estimate, true=truth)
    return float(np.linalg.norm(estimate - truth, axis=-1).mean())


def sliced_wasserstein(
    x: ArrayLike, y: ArrayLike, *, n_projections: int = 50, seed: int = 0
) -> float:
    r"""Compute the sliced 2-Wasserstein distance between two groups of cells.

    The root mean square over random directions of the 2-Wasserstein distance between the projected
    groups, which in one dimension is that of sorted values.

    Parameters
    ----------
    x
        Cells of one group, shape ``(n_cells, n_columns)``.
    y
        Cells of the other group, shape ``(m_cells, n_columns)``.
    n_projections
        Random directions.
    seed
        Seed of the directions.

    Returns
    -------
    Distance, in the unit of the columns; 0 only for equal groups.

    See Also
    --------
    energy_distance : A distance without randomness.

    Examples
    --------
    >>> cells = np.zeros((4, 2))
    >>> sliced_wasserstein(cells, cells)
    0.0
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    check_same_columns(x=first, y=second)
    check_finite(x=first, y=second)
    directions = np.random.default_rng(seed).standard_normal((first.shape[1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    # Groups of unequal size are compared at the quantiles of the larger one.
    n_quantiles = max(len(first), len(second))
    level = (np.arange(n_quantiles) + 0.5) / n_quantiles
    one, other = (
        np.quantile(cells @ directions, level, axis=0, method="inverted_cdf")
        for cells in (first, second)
    )
    return float(np.sqrt(((one - other) ** 2).mean()))


def interventional_nll(
    log_density: ArrayLike, log_density_targeted: ArrayLike, probability: ArrayLike
) -> float:
    r"""Compute the negative log-likelihood of cells with uncertain targets summed out.

    :math:`-\sum_j \log[(1 - p_j)\, f_j + p_j\, g_j]`, the mean over cells, where f is the density of a
    node given its parents and g that under the intervention.

    Parameters
    ----------
    log_density
        :math:`\log f`, shape ``(n_cells, n_nodes)``.
    log_density_targeted
        :math:`\log g`, same shape.
    probability
        Probability that each node is a target, broadcast to the same shape.

    Returns
    -------
    Nats per cell; lower is better.

    Examples
    --------
    >>> round(interventional_nll([[0.0]], [[-1.0]], [[0.0]]), 3)
    -0.0
    """
    kept, hit = np.asarray(log_density, dtype=float), np.asarray(log_density_targeted, dtype=float)
    check_same_shape(log_density=kept, log_density_targeted=hit)
    check_finite(log_density=kept, log_density_targeted=hit)
    with np.errstate(divide="ignore"):
        chance = np.broadcast_to(np.asarray(probability, dtype=float), kept.shape)
        total = np.logaddexp(np.log1p(-chance) + kept, np.log(chance) + hit)
    return float(-total.sum(axis=1).mean())


def structural_intervention_distance(estimated: ArrayLike, adjacency: ArrayLike) -> int:
    """Count the pairs of nodes whose causal effect an estimated graph would get wrong.

    A pair (i, j) is wrong when the parents of i in the estimated graph are no valid adjustment set
    for the effect of i on j in the true graph (Peters and Bühlmann 2015). Takes a second at 50 nodes
    and grows with the cube of their number.

    Parameters
    ----------
    estimated
        Estimated acyclic graph, ``estimated[parent, child]``; not 0 means an edge.
    adjacency
        True acyclic graph in the same convention.

    Returns
    -------
    Number of ordered pairs, at most ``n_nodes * (n_nodes - 1)``; not symmetric in its arguments.

    Examples
    --------
    >>> chain, reverse = [[0, 1], [0, 0]], [[0, 0], [1, 0]]
    >>> structural_intervention_distance(chain, chain)
    0
    >>> structural_intervention_distance(reverse, chain)
    2
    """
    called, label = np.asarray(estimated) != 0, np.asarray(adjacency) != 0
    check_same_shape(estimated=called, adjacency=label)
    graph = nx.from_numpy_array(label, create_using=nx.DiGraph)
    below = {node: nx.descendants(graph, node) for node in graph}
    return sum(_count_wrong_effects(graph, below, node, called[:, node]) for node in graph)


def _count_wrong_effects(
    graph: nx.DiGraph, below: dict[int, set[int]], cause: int, is_parent: NDArray[np.bool_]
) -> int:
    parents = set(np.flatnonzero(is_parent).tolist())
    wrong = 0
    for effect in set(graph) - {cause}:
        if effect in parents:
            wrong += effect in below[cause]
            continue
        on_path = {node for node in below[cause] if node == effect or effect in below[node]}
        forbidden = on_path.union(*(below[node] for node in on_path))
        wrong += bool(parents & forbidden) or not _is_blocked(
            graph, cause, effect, on_path, parents
        )
    return wrong


def _is_blocked(
    graph: nx.DiGraph, cause: int, effect: int, on_path: set[int], parents: set[int]
) -> bool:
    """Whether no path but the causal ones is open given the parents."""
    back_door = graph.copy()
    back_door.remove_edges_from(
        [(cause, node) for node in graph.successors(cause) if node in on_path]
    )
    return bool(nx.is_d_separator(back_door, {cause}, {effect}, parents))
