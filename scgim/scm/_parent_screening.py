from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scgim.scm._sufficient_statistics import FloatArray, SufficientStatistics

    BoolArray = NDArray[np.bool_]

PARTIAL_SHARE = 0.75


def screen_parents(statistics: SufficientStatistics, n_candidates: int) -> BoolArray:
    """Keep the most promising parents of each node, so that a search stays affordable.

    Three quarters of them have the largest partial correlation within conditions (parents are in
    the Markov blanket), the others the largest correlation.

    Parameters
    ----------
    statistics
        Summary of the screen.
    n_candidates
        Parents to keep per node.

    Returns
    -------
    Whether parent → child is worth a try, shape ``(n_nodes, n_nodes)``; all pairs when there are no
    more than ``n_candidates`` others.
    """
    n_nodes = statistics.n_nodes
    everything = ~np.eye(n_nodes, dtype=bool)
    if n_nodes - 1 <= n_candidates:
        return everything
    scatter = statistics.within.sum(axis=-1)[:n_nodes, :n_nodes]
    sd = np.sqrt(np.diag(scatter))
    correlation = scatter / np.outer(sd, sd)
    ridge = np.sqrt(n_nodes / statistics.n_cells.sum()) * 0.1
    precision = np.linalg.inv(correlation + ridge * np.eye(n_nodes))
    scale = np.sqrt(np.diag(precision))
    partial = np.abs(precision / np.outer(scale, scale)) * everything
    chosen = _top(partial, int(PARTIAL_SHARE * n_candidates))
    rest = np.where(chosen, 0.0, np.abs(correlation) * everything)
    return chosen | _top(rest, n_candidates - int(PARTIAL_SHARE * n_candidates))


def _top(values: FloatArray, n_chosen: int) -> BoolArray:
    """Mark the largest entries of each column."""
    rank = (-values).argsort(axis=0).argsort(axis=0)
    return rank < n_chosen
