from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray

# Keeps the scatter of collinear parents invertible, relative to that of each.
RELATIVE_RIDGE = 1e-6


@dataclass(frozen=True)
class MechanismUncertainty:
    r"""How far regression on finitely many cells leaves the mechanisms of a graph open.

    If the parents of node j are moved by m, what its mechanism makes of it is known with variance
    :math:`\sigma_j^2\, m_P^\top S_P^{-1} m_P`, with the scatter S of the nodes within conditions.

    Attributes
    ----------
    adjacency
        Acyclic graph, ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    scatter
        Scatter of the nodes within conditions, same shape.
    noise_variance
        Variance around the mechanisms, shape ``(n_nodes,)``.
    """

    adjacency: BoolArray
    scatter: FloatArray
    noise_variance: FloatArray

    def variance(self, moved: FloatArray) -> FloatArray:
        """Variance of every node given its parents, if all nodes are moved.

        Parameters
        ----------
        moved
            By how much each node is moved, shape ``(n_conditions, n_nodes)``.

        Returns
        -------
        Variances, same shape; 0 for nodes without parents.
        """
        variance = np.zeros(moved.shape)
        for node, sd2 in enumerate(self.noise_variance):
            parents = np.flatnonzero(self.adjacency[:, node])
            if not len(parents):
                continue
            scatter = self.scatter[np.ix_(parents, parents)]
            scatter = scatter + RELATIVE_RIDGE * np.diag(np.diag(scatter))
            change = moved[:, parents]
            variance[:, node] = sd2 * (np.linalg.solve(scatter, change.T).T * change).sum(axis=1)
        return variance
