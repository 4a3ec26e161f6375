r"""Find the gene programs as lines on which genes lie.

A gene that belongs to one program only has loadings on the noise that are a multiple of the direction
of that node: all such genes lie on one line through the point of genes that belong to no program.
Where many genes do, the lines can be seen directly, without any starting point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import chi2

if TYPE_CHECKING:
    from scgim._types import FloatArray

# Genes with the largest loadings, between all pairs of which lines are tried; bounds memory.
MAX_GENES = 1500
# Rounds of a fit to inliers; they settle sooner.
N_REFINEMENTS = 5
# Share of the genes of a line that lie within its errors, and of genes without program that are taken
# for such; levels of tests, not tuned.
INLIER = 0.95
CERTAIN = 0.999
# One gene alone is always on its line.
MIN_INLIERS = 2


def find_gene_lines(loadings: FloatArray, loading_sd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Find one line per node, the best supported first.

    Takes the line through the gene that has most other genes within their standard errors,
    refines it on these, sets them aside, and goes on with the rest.

    Parameters
    ----------
    loadings
        Genes x noise, shape ``(n_genes, n_nodes)``.
    loading_sd
        Standard error of the loadings of each gene, shape ``(n_genes,)``.

    Returns
    -------
    Directions as columns, shape ``(n_nodes, n_nodes)``, and the point of genes without program,
    ``(n_nodes,)``.
    """
    n_nodes = loadings.shape[1]
    offset = densest_point(loadings, loading_sd)
    signal = ((loadings - offset) ** 2).sum(1) / loading_sd**2
    chosen = np.argsort(-signal)[:MAX_GENES]
    chosen = chosen[signal[chosen] > chi2.ppf(CERTAIN, n_nodes)]
    genes = _Genes(loadings[chosen] - offset, loading_sd[chosen])
    left = np.ones(len(chosen), bool)
    lines = np.zeros((0, n_nodes))
    while len(lines) < n_nodes:
        line, inliers = genes.best_line(left)
        if inliers.sum() < MIN_INLIERS:
            break
        lines = np.vstack([lines, line])
        left &= ~inliers
    return _complete(lines).T, offset


def densest_point(points: FloatArray, sd: FloatArray) -> FloatArray:
    """Find the point with most others within their standard errors, and average these.

    Parameters
    ----------
    points
        Shape ``(n, n_dimensions)``.
    sd
        Standard error of each, shape ``(n,)``.

    Returns
    -------
    Shape ``(n_dimensions,)``.
    """
    threshold = chi2.ppf(INLIER, points.shape[1])
    squares = (points**2).sum(1)
    distance = squares[:, None] + squares - 2 * points @ points.T
    near = distance / (sd[:, None] ** 2 + sd**2) < threshold
    inliers = near[near.sum(1).argmax()]
    for _ in range(N_REFINEMENTS):
        center = np.average(points[inliers], axis=0, weights=1 / sd[inliers] ** 2)
        inliers = ((points - center) ** 2).sum(1) / sd**2 < threshold
        if not inliers.any():
            break
    return center


class _Genes:
    """Loadings relative to genes without program."""

    def __init__(self, points: FloatArray, sd: FloatArray) -> None:
        self.points, self.variance = points, sd**2
        self.squares = (points**2).sum(1)
        self.threshold = chi2.ppf(INLIER, max(1, points.shape[1] - 1))
        unit = points / np.sqrt(self.squares)[:, None]
        # The line through a gene is itself known with the error of that gene.
        self.near = self._is_near(unit.T, self.variance / self.squares)

    def best_line(self, left: np.ndarray) -> tuple[FloatArray, np.ndarray]:
        """Fit the line with most of the remaining genes on it."""
        if not left.any():
            return np.zeros(self.points.shape[1]), left
        near = self.near & left[:, None] & left
        inliers = near[:, near.sum(0).argmax()]
        line = np.zeros(self.points.shape[1])
        for _ in range(N_REFINEMENTS):
            if inliers.sum() < MIN_INLIERS:
                break
            weighted = self.points[inliers] / self.variance[inliers, None]
            line = np.linalg.eigh(weighted.T @ self.points[inliers])[1][:, -1]
            inliers = self._is_near(line[:, None], np.zeros(1))[:, 0] & left
        return line, inliers

    def _is_near(self, lines: FloatArray, line_variance: FloatArray) -> np.ndarray:
        """Whether each gene lies on each line within errors, ``(n_genes, n_lines)``."""
        along = (self.points @ lines) ** 2
        variance = self.variance[:, None] + line_variance * along
        near: np.ndarray = (self.squares[:, None] - along) / variance < self.threshold
        return near


def _complete(lines: FloatArray) -> FloatArray:
    """Fill up with directions orthogonal to all lines, where genes give too few."""
    n_nodes = lines.shape[1]
    if len(lines) == n_nodes:
        return lines
    rest = (
        np.linalg.svd(lines, full_matrices=True)[2][len(lines) :] if len(lines) else np.eye(n_nodes)
    )
    return np.vstack([lines, rest])
