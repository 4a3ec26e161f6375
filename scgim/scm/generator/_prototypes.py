from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import nnls

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scgim._types import FloatArray, IntArray

# Numbers of prototypes that are tried: at most so many, so many of them in equal ratios; chosen, not
# tuned.
MAX_PROTOTYPES = 40
N_GRID = 16
# Mechanisms that a perturbation may have at once, one more than those of simulated World P.
MAX_SUMMANDS = 3


class MechanismPrototypes:
    r"""Perturbation features -> rows, as a sparse non-negative sum of mechanism prototypes.

    Prototypes are Ward clusters of features and effects together. A new perturbation is written
    as :math:`u \approx \sum_{j \in S} w_j P_j` with :math:`w \ge 0` and at most three summands,
    chosen greedily by a Bayesian information criterion; its row is :math:`\sum_j w_j B_j`. This is
    the member that can predict a perturbation with two known mechanisms at once.

    Parameters
    ----------
    features
        Additive features of the seen perturbations, shape ``(n, n_features)``.
    outputs
        Their rows, shape ``(n, n_outputs)``.

    Attributes
    ----------
    leave_one_out
        Prediction of each row from prototypes made without it, shape ``(n, n_outputs)``.
    """

    def __init__(self, features: FloatArray, outputs: FloatArray) -> None:
        n = len(features)
        joint = np.c_[
            features / (root_total_variance(features) + 1e-12),
            outputs / (root_total_variance(outputs) + 1e-12),
        ]
        sizes = np.unique(np.geomspace(2, max(2, min(MAX_PROTOTYPES, n - 2)), N_GRID).round())
        left_out = np.zeros((len(sizes), *outputs.shape))
        for row in range(n):
            others = np.arange(n) != row
            tree = linkage(joint[others], "ward")
            for index, size in enumerate(sizes):
                labels = fcluster(tree, size, "maxclust")
                prototypes = _Prototypes(features[others], outputs[others], labels)
                left_out[index, row] = prototypes.predict(features[row])[0]
        best = int(np.argmin(((outputs - left_out) ** 2).sum((1, 2))))
        labels = fcluster(linkage(joint, "ward"), sizes[best], "maxclust")
        self._prototypes = _Prototypes(features, outputs, labels)
        self.leave_one_out: FloatArray = left_out[best]

    def predict(self, features: FloatArray) -> tuple[FloatArray, IntArray, FloatArray]:
        """Predict the rows of perturbations.

        Parameters
        ----------
        features
            Additive features, shape ``(m, n_features)``.

        Returns
        -------
        Rows, shape ``(m, n_outputs)``; how many prototypes each is a sum of, ``(m,)``; and how far the
        features are from that sum, ``(m,)``.
        """
        predictions = [self._prototypes.predict(row) for row in features]
        rows, n_summands, distance = zip(*predictions, strict=True)
        return np.stack(rows), np.array(n_summands), np.array(distance)


class _Prototypes:
    """Cluster means of features and rows."""

    def __init__(
        self, features: FloatArray, outputs: FloatArray, labels: NDArray[np.int32]
    ) -> None:
        names, index = np.unique(labels, return_inverse=True)
        weight = np.eye(len(names))[index]
        weight /= weight.sum(0)
        self.features = weight.T @ features
        self.outputs = weight.T @ outputs
        residual = features - self.features[index]
        n_free = max(1, (len(features) - len(names)) * features.shape[1])
        self.variance = max(float((residual**2).sum() / n_free), 1e-12)

    def predict(self, target: FloatArray) -> tuple[FloatArray, int, float]:
        chosen: list[int] = []
        weights, distance = np.zeros(0), np.inf
        price = 2 * np.log(len(self.features) * len(target))
        criterion = np.inf
        for n_summands in range(1, min(MAX_SUMMANDS, len(self.features)) + 1):
            index, candidate, residual = self._best_addition(target, chosen)
            new_criterion = residual**2 / self.variance + n_summands * price
            if new_criterion >= criterion:
                break
            chosen, weights, criterion = [*chosen, index], candidate, new_criterion
            distance = residual
        return weights @ self.outputs[chosen], len(chosen), distance

    def _best_addition(
        self, target: FloatArray, chosen: list[int]
    ) -> tuple[int, FloatArray, float]:
        fits = [
            (index, *nnls(self.features[[*chosen, index]].T, target))
            for index in range(len(self.features))
            if index not in chosen
        ]
        return min(fits, key=lambda fit: fit[2])


def root_total_variance(values: FloatArray) -> float:
    """Root of the summed variance of all columns, which no rotation of them changes."""
    return float(np.sqrt(((values - values.mean(0)) ** 2).sum(1).mean()))
