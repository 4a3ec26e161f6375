from __future__ import annotations

import networkx as nx
import torch
from torch import Tensor


def find_generations(is_edge: Tensor) -> list[Tensor]:
    """Group the nodes of an acyclic graph so that all parents are in earlier groups.

    Parameters
    ----------
    is_edge
        Graph, ``[parent, child]``, shape ``(n_nodes, n_nodes)``; not 0 where there is an edge.

    Returns
    -------
    Places of the nodes of each group, on the device of ``is_edge``. As few groups as there are nodes
    on the longest path.

    Examples
    --------
    >>> find_generations(torch.tensor([[0, 1, 0], [0, 0, 0], [0, 1, 0]]))
    [tensor([0, 2]), tensor([1])]
    """
    graph = nx.from_numpy_array((is_edge != 0).cpu().numpy(), create_using=nx.DiGraph)
    groups = nx.topological_generations(graph)
    return [torch.tensor(sorted(group), device=is_edge.device) for group in groups]


def compute_total_effects(adjacency: Tensor) -> Tensor:
    r"""Sum the effects over all directed paths of a linear acyclic graph.

    Computes :math:`(I - A)^{-1} = I + A + A^2 + \dots`, which ends after ``n_nodes`` terms.

    Parameters
    ----------
    adjacency
        Edge weights, shape ``(..., n_nodes, n_nodes)``; ``[i, j]`` is the edge i → j.

    Returns
    -------
    Total effect of each node (row) on each node (column), same shape.

    Examples
    --------
    >>> chain = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    >>> compute_total_effects(chain)
    tensor([[1., 2., 6.],
            [0., 1., 3.],
            [0., 0., 1.]])
    """
    identity = torch.eye(adjacency.shape[-1], dtype=adjacency.dtype, device=adjacency.device)
    inverse: Tensor = torch.linalg.inv(identity - adjacency)
    return inverse
