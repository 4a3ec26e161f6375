from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray

# Genes that do not vary among control cells are divided by this instead of 0.
MIN_DEVIATION = 1e-6
# Smallest eigenvalue, in units of the ridge: taking counting noise away can make a covariance
# indefinite. From the study of real targets, where a ridge below half of this one collapsed.
EIGENVALUE_FLOOR = 0.25
# Halves of larger counts are as good as normal: by nine points of Gauss and Hermite the mean over
# thinnings is off by less than 3e-5, and less the larger the count.
LARGEST_SUMMED, N_QUADRATURE = 60, 9


@dataclass(frozen=True)
class CountScreen:
    """Counts of a screen whose genes are the nodes.

    Attributes
    ----------
    counts
        Counts, shape ``(n_cells, n_genes)``.
    size_factor
        Sequencing depth of each cell relative to a typical one, shape ``(n_cells,)``.
    perturbation
        Perturbation of each cell, -1 for control, shape ``(n_cells,)``.
    covariates
        Known nuisance of each cell (batch indicators, say), shape ``(n_cells, n_covariates)``.
    """

    counts: IntArray
    size_factor: FloatArray
    perturbation: IntArray
    covariates: FloatArray

    @property
    def is_control(self) -> BoolArray:
        """Which cells are unperturbed."""
        return self.perturbation < 0

    def log_expression(self, counts: IntArray, depth: float = 1.0) -> FloatArray:
        """Transform counts, free of what covariates explain in control cells.

        Parameters
        ----------
        counts
            Counts, whole or thinned, shape ``(n_cells, n_genes)``.
        depth
            Share of the counts that thinning left.

        Returns
        -------
        log1p of counts per size factor, same shape.
        """
        return self.without_covariates(np.log1p(counts / (depth * self.size_factor[:, None])))

    def without_covariates(self, expression: FloatArray) -> FloatArray:
        """Take away what covariates explain in control cells.

        Parameters
        ----------
        expression
            One row per cell.

        Returns
        -------
        What is left, same shape; linear in ``expression``.
        """
        if not self.covariates.shape[1]:
            return np.asarray(expression)
        centred = self.covariates - self.covariates[self.is_control].mean(axis=0)
        control = expression[self.is_control]
        slope = np.linalg.lstsq(
            centred[self.is_control], control - control.mean(axis=0), rcond=None
        )[0]
        return np.asarray(expression - centred @ slope)

    def centre(self, values: FloatArray) -> FloatArray:
        """Take the mean of each perturbation's cells away.

        Parameters
        ----------
        values
            One row per cell.

        Returns
        -------
        What varies within perturbations.
        """
        index = self.perturbation + 1
        total = np.zeros((int(index.max()) + 1, values.shape[1]))
        np.add.at(total, index, values)
        sizes = np.maximum(np.bincount(index), 1)
        centred: FloatArray = values - (total / sizes[:, None])[index]
        return centred


@dataclass(frozen=True)
class DenoisedCovariance:
    """Covariance within perturbations, as measured and without counting noise.

    Attributes
    ----------
    measured
        Of standardised expression, shape ``(n_genes, n_genes)``.
    denoised
        The same, free of counting noise; not always positive definite.
    n_cells
        Cells less perturbations.
    """

    measured: FloatArray
    denoised: FloatArray
    n_cells: float

    @property
    def reliability(self) -> FloatArray:
        """Share of each gene's variance that is not counting noise, shape ``(n_genes,)``."""
        return np.asarray(np.diag(self.denoised) / np.diag(self.measured))

    def regularised(self, ridge: float = 1.0) -> FloatArray:
        r"""Add :math:`\kappa \sqrt{d/N}` of the measured variance, and make it positive definite.

        In units of *measured* variance, so that one :math:`\kappa` serves panels of any size.

        Parameters
        ----------
        ridge
            :math:`\kappa`.

        Returns
        -------
        Covariance, shape ``(n_genes, n_genes)``.
        """
        sd = np.sqrt(np.diag(self.measured))
        amount = ridge * np.sqrt(len(sd) / self.n_cells)
        scaled = self.denoised / np.outer(sd, sd) + amount * np.eye(len(sd))
        values, vectors = np.linalg.eigh(scaled)
        values = np.maximum(values, EIGENVALUE_FLOOR * amount)
        return np.asarray((vectors * values) @ vectors.T * np.outer(sd, sd))


def thin_counts(counts: IntArray, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Split counts into two halves whose counting noise is independent.

    Each molecule goes to the first half with probability one half. If counts are Poisson given the
    cell, the halves are independent given the cell (binomial thinning).

    Parameters
    ----------
    counts
        Non-negative integers.
    rng
        Source of randomness.

    Returns
    -------
    The halves, which add up to ``counts``.
    """
    first = rng.binomial(counts, 0.5)
    return first, counts - first


def compute_denoised_covariance(
    screen: CountScreen,
    deviation: FloatArray,
    rng: np.random.Generator | None = None,
    *,
    n_splits: int | None = None,
) -> DenoisedCovariance:
    r"""Estimate the covariance of expression that counting noise has no part in.

    The cross-covariance of the two halves of thinned counts is free of counting noise under any
    transform. Its mean over all ways of thinning is known: genes are thinned independently, so between
    two genes it is the covariance of :math:`g = E[f(y_1) \mid y]`, and for one gene
    :math:`E[f(y_1) f(y_2) \mid y] - g^2` is added.

    Parameters
    ----------
    screen
        The counts.
    deviation
        Unit of each gene, shape ``(n_genes,)``; usually its deviation in control cells.
    rng, n_splits
        Not used since version 0.2, as nothing is drawn any more.

    Returns
    -------
    Measured and denoised covariance.
    """
    del rng, n_splits
    n_free = float(len(screen.counts) - screen.perturbation.max() - 2)
    half, product = expected_halves(screen.counts, screen.size_factor)

    def within(expression: FloatArray) -> FloatArray:
        return screen.centre(screen.without_covariates(expression) / deviation)

    whole = screen.centre(screen.log_expression(screen.counts) / deviation)
    between_genes = within(half)
    denoised = between_genes.T @ between_genes / n_free
    index = screen.perturbation + 1
    # The mean of its group holds a share of each cell's own deviation.
    kept = 1 - 1 / np.bincount(index)[index]
    own = kept @ ((product - half**2) / deviation**2) / n_free
    return DenoisedCovariance(whole.T @ whole / n_free, denoised + np.diag(own), n_free)


def expected_halves(counts: IntArray, size_factor: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Average over all ways of thinning counts: log expression of a half, and of both multiplied.

    Parameters
    ----------
    counts
        Shape ``(n_cells, n_genes)``.
    size_factor
        Of the whole counts, shape ``(n_cells,)``.

    Returns
    -------
    Mean of log1p of a half per half size factor, and of its product with that of the other half,
    each of shape ``(n_cells, n_genes)``.
    """
    mean, product = np.zeros((2, *counts.shape))
    for count in np.unique(counts[(counts > 0) & (counts <= LARGEST_SUMMED)]).tolist():
        cells, genes = np.nonzero(counts == count)
        first = np.arange(count + 1)
        one = np.log1p(2 * first / size_factor[cells, None])
        weight = binom.pmf(first, count, 0.5)
        mean[cells, genes] = one @ weight
        product[cells, genes] = (one * one[:, ::-1]) @ weight
    cells, genes = np.nonzero(counts > LARGEST_SUMMED)
    points, weight = np.polynomial.hermite_e.hermegauss(N_QUADRATURE)
    weight = weight / weight.sum()
    whole = counts[cells, genes][:, None]
    away = np.sqrt(whole) / 2 * points
    # Far out in the tail of the normal distribution a half could be negative.
    one, other = (
        np.log1p(2 * np.maximum(half, 0) / size_factor[cells, None])
        for half in (whole / 2 + away, whole / 2 - away)
    )
    mean[cells, genes] = one @ weight
    product[cells, genes] = (one * other) @ weight
    return mean, product


def control_deviation(screen: CountScreen) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of each gene's expression in control cells.

    Parameters
    ----------
    screen
        The counts.

    Returns
    -------
    Mean and deviation, each of shape ``(n_genes,)``.
    """
    control = screen.log_expression(screen.counts)[screen.is_control]
    return control.mean(axis=0), control.std(axis=0) + MIN_DEVIATION
