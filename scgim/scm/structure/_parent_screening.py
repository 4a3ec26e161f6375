from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray
    from scgim.scm._sufficient_statistics import SufficientStatistics

# Share of the candidates that is chosen by partial correlation; chosen, not tuned.
PARTIAL_SHARE = 0.75
# Regularises the correlation of nodes before it is inverted, in units of its sampling error
# sqrt(d / N): just enough for panels with more nodes than cells. Chosen, not tuned.
RELATIVE_RIDGE = 0.1


def screen_parents(statistics: SufficientStatistics, n_candidates: int) -> BoolArray:
    """Keep the most promising parents of each node, so that a search stays affordable.

    Three quarters of them have the largest partial correlation within conditions (parents are in
    the Markov blanket), the others the largest correlation, within conditions or over all cells.

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
    correlation = _correlation(statistics.within.sum(axis=-1)[:n_nodes, :n_nodes])
    ridge = RELATIVE_RIDGE * np.sqrt(n_nodes / statistics.n_cells.sum())
    precision = np.linalg.inv(correlation + ridge * np.eye(n_nodes))
    scale = np.sqrt(np.diag(precision))
    partial = np.abs(precision / np.outer(scale, scale)) * everything
    chosen = _top(partial, int(PARTIAL_SHARE * n_candidates))
    pooled = statistics.between.sum(axis=-1)
    means = pooled[:n_nodes, -1] / pooled[-1, -1]
    total = statistics.within.sum(axis=-1)[:n_nodes, :n_nodes] + pooled[:n_nodes, :n_nodes]
    overall = _correlation(total - pooled[-1, -1] * np.outer(means, means))
    strongest = np.maximum(np.abs(correlation), np.abs(overall))
    rest = np.where(chosen, 0.0, strongest * everything)
    return chosen | _top(rest, n_candidates - int(PARTIAL_SHARE * n_candidates))


def _correlation(scatter: FloatArray) -> FloatArray:
    """Correlations; 0 with a node that does not vary."""
    sd = np.sqrt(np.diag(scatter))
    scale = np.where(sd > 0, sd, np.inf)
    correlation: FloatArray = scatter / np.outer(scale, scale)
    return correlation


def _top(values: FloatArray, n_chosen: int) -> BoolArray:
    """Mark the largest entries of each column."""
    rank = (-values).argsort(axis=0).argsort(axis=0)
    return rank < n_chosen
