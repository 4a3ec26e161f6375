from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import false_discovery_control, norm

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray

# Spacings that tell how the scores of other genes fall off.
N_SPACINGS = 10
# Targets of one perturbation that are looked for, one after the other.
MAX_TARGETS = 3
# With fewer genes there is nothing to stand out from.
MIN_GENES = 3
# False discovery rate up to which a gene is called a target.
MAX_FALSE_SHARE = 0.1


def find_outstanding_targets(score: FloatArray, is_two_sided: BoolArray) -> FloatArray:
    r"""Say of which genes it can be told that they are more than the largest of what follows a target.

    A perturbation moves many genes, and the largest of their scores is no target for being the
    largest. If the scores :math:`s_{(1)} \ge s_{(2)} \ge \dots` of genes that merely follow fall off
    exponentially, then :math:`D_i = i (s_{(i)} - s_{(i+1)})` are independent and exponential with one
    mean (Rényi 1953), so that the gap above the second gene is compared with the K spacings below:

    .. math:: p = \left(1 + D_1 / \textstyle\sum_{i=2}^{K+1} D_i\right)^{-K}.

    A tail that falls off faster makes it cautious. The gene must also have moved at all, by Bonferroni
    over the genes. Perturbations are corrected for each other by their false discovery rate
    (Benjamini and Hochberg 1995); a second and a third gene are looked for where the one before is
    called. Two targets with alike scores hide each other, and neither is called.

    Parameters
    ----------
    score
        Evidence in standard errors, higher for likelier targets, shape
        ``(n_perturbations, n_genes)``.
    is_two_sided
        Whether a perturbation may move its target either way, shape ``(n_perturbations,)``.

    Returns
    -------
    False discovery rate at which each gene is called, same shape; NaN for genes that rank behind one
    that is not called.
    """
    rate = np.full(score.shape, np.nan)
    n_genes = score.shape[1]
    order = np.argsort(-score, axis=1, kind="stable")
    falling = np.take_along_axis(score, order, axis=1)
    spacing = np.arange(1, n_genes) * (falling[:, :-1] - falling[:, 1:])
    open_rows = np.arange(len(score))
    before = np.zeros(len(score))
    for place in range(min(MAX_TARGETS, n_genes - 2)):
        p_value = np.maximum(
            _gap_p_value(spacing[open_rows], place),
            _shift_p_value(falling[open_rows, place], n_genes, is_two_sided[open_rows]),
        )
        if not len(open_rows):
            break
        before = np.maximum(before, false_discovery_control(p_value))
        rate[open_rows, order[open_rows, place]] = before
        is_called = before <= MAX_FALSE_SHARE
        open_rows, before = open_rows[is_called], before[is_called]
    return rate


def _gap_p_value(spacing: FloatArray, place: int) -> FloatArray:
    """Compare the gap below the gene at a place with the spacings of the genes that follow."""
    others = spacing[:, place + 1 : place + 1 + N_SPACINGS]
    total = np.maximum(others.sum(axis=1), np.finfo(float).tiny)
    p_value: FloatArray = (1 + spacing[:, place] / total) ** -float(others.shape[1])
    return p_value


def _shift_p_value(score: FloatArray, n_genes: int, is_two_sided: BoolArray) -> FloatArray:
    """Probability that any of the genes scores as high by chance."""
    p_value: FloatArray = np.minimum(1.0, n_genes * (1 + is_two_sided) * norm.sf(score))
    return p_value


def call_outstanding_targets(
    score: FloatArray,
    is_two_sided: BoolArray,
    probability: FloatArray,
    known_targets: IntArray,
) -> tuple[BoolArray, FloatArray]:
    """Call targets that stand out, and let no gene be likelier than how far it stands out allows.

    Parameters
    ----------
    score, is_two_sided
        As in :func:`find_outstanding_targets`.
    probability
        What graphs make of each target, shape ``(n_perturbations, n_genes)``.
    known_targets
        As in :class:`~scgim.scm.PriorKnowledge`, same shape; known entries stay as they are.

    Returns
    -------
    Calls at a false discovery rate of :data:`MAX_FALSE_SHARE`, and probabilities: one minus the rate
    for genes that were looked at, and no more than the last of these for genes that rank behind it.
    """
    rate = find_outstanding_targets(score, is_two_sided)
    last = np.nanmin(1 - rate, axis=1, keepdims=True)
    bounded = np.where(np.isnan(rate), np.minimum(probability, last), 1 - rate)
    is_known = known_targets >= 0
    is_called = np.where(is_known, known_targets == 1, rate <= MAX_FALSE_SHARE)
    return is_called, np.where(is_known, probability, bounded)
