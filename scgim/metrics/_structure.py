"""How well intervention targets and causal graphs are recovered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, f1_score

from scgim.metrics._checks import (
    check_finite,
    check_has_positives,
    check_same_shape,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def target_average_precision(evidence: ArrayLike, is_target: ArrayLike) -> float:
    """Compute the average precision of intervention targets, pooled over perturbations.

    Parameters
    ----------
    evidence
        Score by which perturbation-node pairs rank, shape ``(n_perturbations, n_nodes)``; larger
        means more likely a target.
    is_target
        True targets, same shape.

    Returns
    -------
    Average precision; chance is the share of true targets.

    Examples
    --------
    >>> target_average_precision([[0.9, 0.1], [0.2, 0.8]], [[True, False], [True, False]])
    0.8333333333333333
    """
    score, label = np.asarray(evidence, dtype=float), np.asarray(is_target, dtype=bool)
    check_same_shape(evidence=score, is_target=label)
    check_finite(evidence=score)
    check_has_positives("is_target", label)
    return float(average_precision_score(label.ravel(), score.ravel()))


def target_recall_at_k(evidence: ArrayLike, is_target: ArrayLike, k: int = 10) -> float:
    """Compute the mean share of the targets of a perturbation that are among its first k nodes.

    Parameters
    ----------
    evidence
        Score by which the nodes of a perturbation rank, shape ``(n_perturbations, n_nodes)``; larger
        means more likely a target. Tied nodes count as if the targets among them came last.
    is_target
        True targets, same shape; perturbations without one are left out.
    k
        How many nodes of each perturbation are looked at.

    Returns
    -------
    Mean recall over perturbations.

    Examples
    --------
    >>> target_recall_at_k([[0.9, 0.1], [0.2, 0.8]], [[True, False], [True, False]], k=1)
    0.5
    """
    score, label = np.asarray(evidence, dtype=float), np.asarray(is_target, dtype=bool)
    check_same_shape(evidence=score, is_target=label)
    check_finite(evidence=score)
    check_has_positives("is_target", label)
    has_target = label.any(axis=-1)
    score, label = score[has_target], label[has_target]
    is_found = label & (rankdata(-score, method="max", axis=-1) <= k)
    return float((is_found.sum(axis=-1) / label.sum(axis=-1)).mean())


def graph_average_precision(weight: ArrayLike, adjacency: ArrayLike) -> float:
    """Compute the average precision of directed edges, ranked by absolute weight.

    Parameters
    ----------
    weight
        Estimated weights or edge scores, ``weight[parent, child]``, shape ``(n_nodes, n_nodes)``.
    adjacency
        True adjacency in the same convention; not 0 means an edge.

    Returns
    -------
    Average precision over the off-diagonal entries; chance is the share of true edges.
    """
    score, label = np.abs(np.asarray(weight, dtype=float)), np.asarray(adjacency) != 0
    check_same_shape(weight=score, adjacency=label)
    check_finite(weight=score)
    off_diagonal = ~np.eye(len(label), dtype=bool)
    check_has_positives("adjacency", label[off_diagonal])
    return float(average_precision_score(label[off_diagonal], score[off_diagonal]))


def edge_f1(estimated: ArrayLike, adjacency: ArrayLike) -> float:
    """Compute the F1 score of directed edges.

    Parameters
    ----------
    estimated
        Estimated adjacency, ``estimated[parent, child]``; not 0 means an edge.
    adjacency
        True adjacency in the same convention.

    Returns
    -------
    Harmonic mean of precision and recall over the off-diagonal entries; 0 when no edge is right.
    """
    called, label = np.asarray(estimated) != 0, np.asarray(adjacency) != 0
    check_same_shape(estimated=called, adjacency=label)
    off_diagonal = ~np.eye(len(label), dtype=bool)
    return float(f1_score(label[off_diagonal], called[off_diagonal], zero_division=0.0))


def structural_hamming_distance(estimated: ArrayLike, adjacency: ArrayLike) -> int:
    """Count the edges to add, remove or turn around to reach the true graph.

    Parameters
    ----------
    estimated
        Estimated adjacency, ``estimated[parent, child]``; not 0 means an edge.
    adjacency
        True adjacency in the same convention.

    Returns
    -------
    Number of node pairs whose edge is wrong; a reversed edge counts once.
    """
    called, label = np.asarray(estimated) != 0, np.asarray(adjacency) != 0
    check_same_shape(estimated=called, adjacency=label)
    differs = np.asarray(called != label)
    return int(np.triu(differs | differs.T, k=1).sum())


@dataclass(frozen=True)
class NodeMatching:
    """Which estimated node stands for which true node.

    Attributes
    ----------
    index
        Estimated node of each true node, shape ``(n_true_nodes,)``; -1 where there is none.
    sign
        Sign of their correlation, same shape; 0 where there is none.
    correlation
        Absolute correlation over cells, same shape; 0 where there is none.
    """

    index: NDArray[np.int64]
    sign: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @property
    def mean_correlation(self) -> float:
        """Mean correlation coefficient (MCC) over the true nodes."""
        return float(self.correlation.mean())

    def align_columns(self, values: ArrayLike, *, signed: bool = False) -> NDArray[np.float64]:
        """Bring columns of estimated nodes into the order of the true nodes.

        Parameters
        ----------
        values
            Array whose last axis is the estimated nodes.
        signed
            Multiply by the sign of the match, so that directions agree.

        Returns
        -------
        The same array with one column per true node, 0 where no node was matched.
        """
        factor = self.sign if signed else np.abs(self.sign)
        aligned: NDArray[np.float64] = np.asarray(values, dtype=float)[..., self.index] * factor
        return aligned

    def align_graph(self, weight: ArrayLike) -> NDArray[np.float64]:
        """Bring rows and columns of an estimated graph into the order of the true nodes.

        Parameters
        ----------
        weight
            Estimated weights, ``weight[parent, child]``.

        Returns
        -------
        Weights between true nodes, signs unchanged, 0 where no node was matched.
        """
        return self.align_columns(self.align_columns(weight).T).T


def match_nodes(estimated: ArrayLike, true: ArrayLike) -> NodeMatching:
    """Match estimated nodes to true nodes one to one by the absolute correlation of their values.

    Parameters
    ----------
    estimated
        Node values of cells as estimated, shape ``(n_cells, n_estimated_nodes)``.
    true
        True node values of the same cells, shape ``(n_cells, n_true_nodes)``.

    Returns
    -------
    The matching with the largest total correlation (Hungarian algorithm).
    """
    estimate, truth = np.asarray(estimated, dtype=float), np.asarray(true, dtype=float)
    check_same_shape(estimated=estimate[:, :1], true=truth[:, :1])
    check_finite(estimated=estimate, true=truth)
    correlation = _standardize(truth).T @ _standardize(estimate) / len(truth)
    true_nodes, nodes = linear_sum_assignment(np.abs(correlation), maximize=True)
    n_nodes = truth.shape[1]
    index, sign, strength = np.full(n_nodes, -1), np.zeros(n_nodes), np.zeros(n_nodes)
    index[true_nodes] = nodes
    sign[true_nodes] = np.where(correlation[true_nodes, nodes] < 0, -1.0, 1.0)
    strength[true_nodes] = np.abs(correlation[true_nodes, nodes])
    return NodeMatching(index, sign, strength)


def _standardize(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre columns and scale them to unit deviation; constant columns become 0."""
    deviation = values.std(axis=0)
    standardized: NDArray[np.float64] = values - values.mean(axis=0)
    return standardized / np.where(deviation > 0, deviation, np.inf)
