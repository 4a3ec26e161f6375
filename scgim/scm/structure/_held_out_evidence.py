from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scgim.scm.structure._denoised_covariance import (
    CountScreen,
    compute_denoised_covariance,
    control_deviation,
)
from scgim.scm.structure._target_evidence import TargetEvidence, _evidence

if TYPE_CHECKING:
    from scgim._types import BoolArray, IntArray


# Two halves of two cells each are the least that has a variance.
MIN_CELLS = 4


def judge_on_held_out_cells(
    evidence: TargetEvidence,
    screen: CountScreen,
    rng: np.random.Generator,
    *,
    ridge: float = 1.0,
    n_splits: int | None = None,
) -> TargetEvidence:
    """Judge whether genes explain each other's shifts, on cells that had no part in learning it.

    The covariance is estimated from half of the cells of each perturbation and has to explain the
    shifts of the other half, and the other way around.

    Parameters
    ----------
    evidence
        Scores from all cells.
    screen
        The counts.
    rng
        Source of the halves.
    ridge
        Strength of the regularisation, see :meth:`DenoisedCovariance.regularised`.
    n_splits
        Not used since version 0.2, as counts are not thinned at random any more.

    Returns
    -------
    The scores, with the smaller of the two held-out shares in ``explained``; minus infinity where a
    perturbation has fewer than four cells, so that nothing can be shown.
    """
    del n_splits
    if np.bincount(screen.perturbation + 1).min() < MIN_CELLS:
        return replace(evidence, explained=-np.inf)
    is_first = _halve(screen.perturbation, rng)
    mean, deviation = control_deviation(screen)
    values = (screen.log_expression(screen.counts) - mean) / deviation
    shares = []
    for learned, held_out in ((is_first, ~is_first), (~is_first, is_first)):
        half = CountScreen(
            screen.counts[learned],
            screen.size_factor[learned],
            screen.perturbation[learned],
            screen.covariates[learned],
        )
        covariance = compute_denoised_covariance(half, deviation)
        judged = _evidence(values[held_out], screen.perturbation[held_out], covariance, ridge)
        shares.append(judged.explained)
    return replace(evidence, explained=min(shares))


def _halve(perturbation: IntArray, rng: np.random.Generator) -> BoolArray:
    """Half of the cells of each perturbation, at random."""
    order = np.lexsort((rng.random(len(perturbation)), perturbation))
    starts = np.searchsorted(perturbation[order], perturbation[order])
    is_first = np.empty(len(perturbation), dtype=bool)
    is_first[order] = (np.arange(len(perturbation)) - starts) % 2 == 0
    return is_first
