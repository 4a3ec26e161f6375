from __future__ import annotations

import torch
from torch import Tensor, nn


class OrderedGraph(nn.Module):
    """Weighted acyclic graph over nodes that stand in causal order.

    A node may only follow nodes that come before it, so the graph is acyclic by construction and
    training needs no acyclicity penalty. Which program stands at which place is decided after
    training, by :func:`~scgim.scm.find_gauges`.

    Parameters
    ----------
    n_nodes
        Number of nodes.
    """

    earlier: Tensor

    def __init__(self, n_nodes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_nodes, n_nodes))
        self.register_buffer("earlier", torch.ones(n_nodes, n_nodes).triu(1), persistent=False)

    @property
    def adjacency(self) -> Tensor:
        """Edge weights, shape ``(n_nodes, n_nodes)``; ``adjacency[i, j]`` is the edge i → j."""
        return self.weight * self.earlier


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
