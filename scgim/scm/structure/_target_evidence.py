from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scgim.scm.structure._denoised_covariance import (
    MIN_DEVIATION,
    CountScreen,
    DenoisedCovariance,
    compute_denoised_covariance,
    control_deviation,
)

if TYPE_CHECKING:
    from scgim._types import FloatArray, IntArray

# With fewer, median and deviation over the perturbations are worse than none: on subsets of 6, 8, 12
# and 18 perturbations of the screen of Papalexi et al. 2021, the average precision of residuals was
# .76, .71, .65, .61 by their own errors and .70, .67, .66, .63 relative to other perturbations.
MIN_PERTURBATIONS = 15
# Excess shift in its standard errors from which on a share of it can be told.
MIN_SIGNAL = 5.0
# The residual is used where it explains more than half of the other genes' shift; chosen, not tuned.
MIN_EXPLAINED = 0.5
# Standard deviation of a normal distribution over its median absolute deviation.
MAD_TO_SD = 1.4826


@dataclass(frozen=True)
class TargetEvidence:
    r"""Two scores of every gene as the target of every perturbation, side by side.

    The *marginal* score asks whether a gene moved, the *residual* score whether it moved by more than
    the other genes explain: :math:`r = L\delta` with :math:`L_j = P_j/P_{jj}` from the precision P of
    expression without counting noise. Both are in standard errors, signed, and (from fifteen
    perturbations on) relative to the other perturbations. A calibration against control cells speaks
    of "no effect" only, never of "effect but not the target".

    Attributes
    ----------
    marginal
        Shape ``(n_perturbations, n_genes)``.
    residual
        Same shape.
    explained
        Share of the shift of genes other than the strongest one that the residual takes away; minus
        infinity where there is too little shift to say.
    """

    marginal: FloatArray
    residual: FloatArray
    explained: float

    @property
    def uses_graph(self) -> bool:
        """Whether the other genes' shift is demonstrably explained."""
        return MIN_EXPLAINED < self.explained <= 1

    def combine(self, *, sign: int | IntArray | None = None) -> FloatArray:
        """Score targets, by the residual only where it demonstrably explains the other genes.

        Parameters
        ----------
        sign
            -1 when targets can only fall (knock-outs), 1 when they can only rise, 0 when the direction
            is unknown; for all perturbations or one for each, shape ``(n_perturbations,)``. ``None``
            is 0 for all.

        Returns
        -------
        Scores, higher for likelier targets, shape ``(n_perturbations, n_genes)``. Where the direction
        is known, a gene that moved the other way has a negative score.
        """
        known = np.broadcast_to(0 if sign is None else sign, len(self.marginal))[:, None]
        residual = self.residual if self.uses_graph else self.marginal
        oriented = np.minimum(known * self.marginal, known * residual)
        smaller = np.minimum(np.abs(self.marginal), np.abs(residual))
        agree = self.marginal * residual > 0
        return np.where(known == 0, smaller * agree, oriented)


def orient_evidence(evidence: FloatArray, effect: FloatArray, sign: IntArray) -> FloatArray:
    """Let evidence that does not know of signs speak against nodes that moved the wrong way.

    Parameters
    ----------
    evidence
        Scores of either sign, higher for likelier targets, shape ``(n_perturbations, n_nodes)``.
    effect
        What moved each node by itself, same shape.
    sign
        As in :meth:`TargetEvidence.combine`, shape ``(n_perturbations,)``.

    Returns
    -------
    The scores; where the effect has the wrong sign they are negative, the more so the larger it is.
    """
    is_wrong = sign[:, None] * effect < 0
    return np.where(is_wrong, -np.abs(evidence), evidence)


def compute_target_evidence(
    screen: CountScreen,
    rng: np.random.Generator | None = None,
    *,
    ridge: float = 1.0,
    n_splits: int | None = None,
) -> TargetEvidence:
    """Score every gene as the target of every perturbation.

    Parameters
    ----------
    screen
        The counts; every gene has a count and every perturbation two cells.
    rng, n_splits
        Not used since version 0.2, as nothing is drawn any more.
    ridge
        Strength of the regularisation, see :meth:`DenoisedCovariance.regularised`.

    Returns
    -------
    The scores.
    """
    del rng, n_splits
    mean, deviation = control_deviation(screen)
    values = (screen.log_expression(screen.counts) - mean) / deviation
    covariance = compute_denoised_covariance(screen, deviation)
    return _evidence(values, screen.perturbation, covariance, ridge)


def compute_expression_evidence(
    values: FloatArray, perturbation: IntArray, *, ridge: float = 1.0
) -> TargetEvidence:
    """Score every node as the target of every perturbation, on measurements that are no counts.

    Nothing is known of the noise of measurement, so nothing is taken away. Where perturbations have
    one cell or profile each, there is no variation within them: the residual is 0, and the marginal
    score is relative to the other perturbations.

    Parameters
    ----------
    values
        Node values, shape ``(n_cells, n_nodes)``.
    perturbation
        Perturbation of each cell, -1 for control.
    ridge
        Strength of the regularisation, see :meth:`DenoisedCovariance.regularised`.

    Returns
    -------
    The scores.

    See Also
    --------
    compute_target_evidence : The same for counts, whose noise is known.
    """
    is_control = perturbation < 0
    deviation = values[is_control].std(axis=0)
    has_replicates = np.bincount(perturbation + 1).min() > 1 and bool((deviation > 0).all())
    scale = deviation if has_replicates else median_deviation(values)
    scaled = (values - values[is_control].mean(axis=0)) / np.maximum(scale, MIN_DEVIATION)
    if not has_replicates:
        shift = np.stack(
            [scaled[perturbation == code].mean(axis=0) for code in _codes(perturbation)]
        )
        return TargetEvidence(_relative(shift, np.zeros_like(shift)), np.zeros_like(shift), -np.inf)
    centred = (
        scaled
        - np.stack(
            [
                scaled[perturbation == code].mean(axis=0)
                for code in range(-1, int(perturbation.max()) + 1)
            ]
        )[perturbation + 1]
    )
    n_free = float(len(values) - perturbation.max() - 2)
    measured = centred.T @ centred / n_free
    covariance = DenoisedCovariance(measured, measured, n_free)
    return _evidence(scaled, perturbation, covariance, ridge)


def _evidence(
    values: FloatArray,
    perturbation: IntArray,
    covariance: DenoisedCovariance,
    ridge: float,
) -> TargetEvidence:
    moments = [_moments(values[perturbation == code]) for code in _codes(perturbation)]
    control_mean, control_variance = _moments(values[perturbation < 0])
    shift = np.stack([moment[0] for moment in moments]) - control_mean
    variance = np.stack([moment[1] for moment in moments])
    marginal_error = np.sqrt(variance + control_variance)
    precision = np.linalg.inv(covariance.regularised(ridge))
    contrast = precision / np.diag(precision)[:, None]
    residual = shift @ contrast.T
    per_cell = np.einsum("ij,jk,ik->i", contrast, covariance.measured, contrast)
    per_gene = np.diag(covariance.measured)
    sizes = np.bincount(perturbation + 1).astype(float)
    weight = (1 / sizes[1:] + 1 / sizes[0])[:, None]
    return TargetEvidence(
        marginal=_specific(shift, marginal_error),
        residual=_specific(residual, np.sqrt(per_cell * weight)),
        explained=_explained(shift, residual, per_gene * weight, per_cell * weight),
    )


def _codes(perturbation: IntArray) -> IntArray:
    return np.arange(int(perturbation.max()) + 1)


def _moments(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and its squared standard error."""
    return values.mean(axis=0), values.var(axis=0) / len(values)


def _specific(shift: FloatArray, error: FloatArray) -> FloatArray:
    """Standardise shifts, relative to the other perturbations when there are enough of them."""
    if len(shift) < MIN_PERTURBATIONS:
        return np.asarray(shift / error)
    return _relative(shift, error)


def _relative(shift: FloatArray, error: FloatArray) -> FloatArray:
    """Standardise shifts relative to the other perturbations."""
    centred = shift - np.median(shift, axis=0)
    spread = np.sqrt(error**2 + median_deviation(shift) ** 2)
    return np.asarray(centred / np.maximum(spread, MIN_DEVIATION))


def median_deviation(values: FloatArray) -> FloatArray:
    """Estimate the standard deviation of each column from its median absolute deviation.

    Parameters
    ----------
    values
        Shape ``(n_rows, n_columns)``.

    Returns
    -------
    What a normal distribution of that median absolute deviation has, shape ``(n_columns,)``.
    """
    away = np.abs(values - np.median(values, axis=0))
    return np.asarray(MAD_TO_SD * np.median(away, axis=0))


def _explained(
    shift: FloatArray, residual: FloatArray, shift_error: FloatArray, residual_error: FloatArray
) -> float:
    """Share of the excess shift of all genes but the strongest that the residual takes away.

    Errors are squared; both sums are free of what sampling noise adds.
    """
    before = shift - np.median(shift, axis=0)
    after = residual - np.median(residual, axis=0)
    other = np.ones(shift.shape, dtype=bool)
    strongest = np.abs(before / np.sqrt(shift_error)).argmax(axis=1)
    other[np.arange(len(shift)), strongest] = False
    signal = ((before**2 / shift_error - 1) * other).sum()
    if signal / np.sqrt(2 * other.sum()) <= MIN_SIGNAL:
        return -np.inf
    left = ((after**2 - residual_error) / shift_error * other).sum()
    return float(1 - left / signal)
