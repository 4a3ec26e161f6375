from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray

# Widths of the mixture, in standard errors: from an eighth, which no screen tells from nothing, to
# twice the largest effect; neighbours differ by less than a factor of two (Stephens 2017 takes the
# square root of two, with no visible difference here).
N_WIDTHS = 16
SMALLEST_WIDTH = 0.125
# EM sees |z| in bins of this width. It is far below the scale, 1, on which likelihoods change.
BIN_WIDTH = 0.05
N_STEPS = 200
# The weights of one set of effects are pulled to those of all sets as if so many more effects with
# the weights of all had been seen, and towards "no effect" by so many nulls (the penalty of Stephens
# 2017, section 2.3, whose software takes ten). The first number was chosen, not tuned.
N_CENTRAL_EFFECTS = 20.0
N_NULL_EFFECTS = 10.0
# Beyond this an effect is as sure as it gets, and its size is that of its estimate.
MAX_Z = 1e4
# Effects whose posterior is computed at once, which bounds memory.
BLOCK = 200_000


@dataclass(frozen=True)
class ShrunkEffects:
    """Posterior of effects that were measured with noise.

    Attributes
    ----------
    mean
        Posterior mean, shape ``(n_sets, n_effects)``, in the unit of the estimates.
    variance
        Posterior variance, same shape.
    false_sign_rate
        Local false sign rate: probability that the effect is zero or has the other sign, same shape.
    null_share
        Weight of "no effect" in the prior of each set, shape ``(n_sets,)``.
    """

    mean: FloatArray
    variance: FloatArray
    false_sign_rate: FloatArray
    null_share: FloatArray


def shrink(estimate: FloatArray, standard_error: FloatArray) -> ShrunkEffects:
    r"""Shrink many effects by how many of them are there, and how large they are.

    Adaptive shrinkage (Stephens 2017, Biostatistics 18:275), on standardised effects:

    .. math::
        z = \hat b / s \sim N(\beta, 1), \qquad
        \beta \sim \textstyle\sum_k \pi_k N(0, \omega_k^2), \quad \omega_0 = 0,

    with :math:`\pi` by expectation maximisation. Each set of effects, usually the genes under one
    perturbation, has its own :math:`\pi`, drawn to that of all sets together.

    Parameters
    ----------
    estimate
        Estimates :math:`\hat b`, shape ``(n_sets, n_effects)``.
    standard_error
        Their standard errors :math:`s`, same shape; infinite where nothing was measured.

    Returns
    -------
    The posterior. What was not measured has the mean and variance 0 and a false sign rate of 1.
    """
    is_measured = np.isfinite(standard_error) & (standard_error > 0)
    z = np.divide(estimate, standard_error, out=np.zeros_like(estimate), where=is_measured)
    z = np.clip(z, -MAX_Z, MAX_Z)
    size = np.abs(z)
    top = max(2 * float(size.max(initial=0.0)), 1.0)
    width = np.concatenate([[0.0], np.geomspace(SMALLEST_WIDTH, top, N_WIDTHS)])
    weights = _fit_weights(size, is_measured, width)
    parts = np.array_split(np.arange(len(z)), max(1, z.size // BLOCK))
    kept, variance, false_sign_rate = (
        np.concatenate(values)
        for values in zip(*(_posterior(z[p], weights[p], width) for p in parts), strict=True)
    )
    scale = np.where(is_measured, standard_error, 0.0)
    return ShrunkEffects(
        mean=np.where(is_measured, kept * estimate, 0.0),
        variance=variance * scale**2,
        false_sign_rate=np.where(is_measured, false_sign_rate, 1.0),
        null_share=weights[:, 0],
    )


def _fit_weights(size: FloatArray, is_measured: BoolArray, width: FloatArray) -> FloatArray:
    """Weights of the mixture by EM on binned |z|, shape ``(n_sets, n_widths)``."""
    bins = (size / BIN_WIDTH).astype(int)
    occupied, code = np.unique(bins[is_measured], return_inverse=True)
    counts = np.zeros((len(size), max(len(occupied), 1)))
    if len(occupied):
        np.add.at(counts, (np.nonzero(is_measured)[0], code), 1.0)
    else:
        occupied = np.zeros(1, int)
    centre = (occupied + 0.5) * BIN_WIDTH
    likelihood = norm.pdf(centre[:, None], scale=np.sqrt(1 + width**2))
    start = np.full((1, len(width)), 1 / len(width))
    nulls = np.where(width == 0, N_NULL_EFFECTS, 0.0)
    of_all = _expectation_maximisation(counts.sum(0, keepdims=True), likelihood, start, nulls)
    return _expectation_maximisation(counts, likelihood, of_all, nulls + N_CENTRAL_EFFECTS * of_all)


def _expectation_maximisation(
    counts: FloatArray, likelihood: FloatArray, start: FloatArray, pseudo_counts: FloatArray
) -> FloatArray:
    """Weights that explain binned counts, with a Dirichlet prior given as counts."""
    weights = np.broadcast_to(start, (len(counts), likelihood.shape[1]))
    for _ in range(N_STEPS):
        expected = counts / np.maximum(weights @ likelihood.T, 1e-300)
        weights = weights * (expected @ likelihood) + pseudo_counts
        weights = weights / weights.sum(1, keepdims=True)
    return weights


def _posterior(
    z: FloatArray, weights: FloatArray, width: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Part of the estimate that is kept, variance and local false sign rate, standardised."""
    total = 1 + width**2
    log_weight = np.log(np.maximum(weights, 1e-300))[:, None] - 0.5 * np.log(total)
    log_weight = log_weight - 0.5 * z[..., None] ** 2 / total
    share = np.exp(log_weight - log_weight.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    kept = width**2 / total
    kept_part = share @ kept
    mean = kept_part * z
    second_moment = kept_part + (share @ kept**2) * z**2
    # Given the width, the effect is N(kept * z, kept): positive with this probability.
    same_sign = (share[..., 1:] * norm.cdf(np.sqrt(kept[1:]) * np.abs(z)[..., None])).sum(-1)
    return kept_part, second_moment - mean**2, np.maximum(1 - same_sign, 0.0)
