from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim.scm.generator._stack_loss import MeasuredEffects
from scgim.spaces._condition_means import to_log10

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray
    from scgim.data import Screen
    from scgim.spaces._training_statistics import TrainingStatistics

# The variance of a gene over few control cells is drawn to that of the usual gene as if it had been
# seen in so many more (Smyth 2004, Stat Appl Genet Mol Biol 3:3, who estimates about this number on
# arrays). It matters for plates with a handful of control wells only.
PRIOR_CELLS = 4.0
# Only keeps divisions finite, for a gene that is the same in all cells.
TINY = 1e-8


@dataclass(frozen=True)
class MeasuredShifts(MeasuredEffects):
    """Effects at each dose in each context, against the control cells of the same context.

    Attributes
    ----------
    context
        Which row of ``contexts`` each was run in, shape ``(n_rows,)``.
    contexts
        Codes of batch and categorical covariates, shape ``(n_contexts, 1 + n_categorical)``.
    """

    context: IntArray
    contexts: IntArray


def measure_shifts(statistics: TrainingStatistics, screen: Screen) -> MeasuredShifts | None:
    """Compare each condition with the control of its context.

    A condition whose context has no control cells is left out: its shift would hold the difference
    between contexts.

    Parameters
    ----------
    statistics
        What the model remembers of its training cells.
    screen
        What the registry knows of the screen.

    Returns
    -------
    The shifts; ``None`` where there is nothing to compare, or for a model that did not keep the means
    of contexts.
    """
    means = statistics.by_context
    if means is None:
        return None
    components = screen.table.components[means.label]
    is_control = np.asarray((components < 0).all(axis=1))
    codes, contexts = pd.factorize(pd.MultiIndex.from_arrays(list(means.context.T)))
    n_control = np.bincount(codes, means.n_cells * is_control, minlength=len(contexts))
    chosen = np.flatnonzero(((components >= 0).sum(1) == 1) & (n_control[codes] > 0))
    if not len(chosen):
        return None
    control = np.zeros((len(contexts), means.expression.shape[1]))
    weighted = means.expression * means.n_cells[:, None]
    np.add.at(control, codes[is_control], weighted[is_control])
    control /= np.maximum(n_control, 1.0)[:, None]
    per_cell = 1 / means.n_cells[chosen] + 1 / n_control[codes[chosen]]
    variance = _variance_of_cells(statistics, screen, is_control, codes)
    return MeasuredShifts(
        perturbation=components[chosen].max(1),
        log10_dose=to_log10(means.dose[chosen]),
        context=codes[chosen],
        contexts=np.array([np.atleast_1d(context) for context in contexts], dtype=np.int64),
        shift=means.expression[chosen] - control[codes[chosen]],
        variance=variance * per_cell[:, None],
    )


def _variance_of_cells(
    statistics: TrainingStatistics, screen: Screen, is_control: BoolArray, codes: IntArray
) -> FloatArray:
    """Variance of each gene between control cells of one context, shape ``(n_genes,)``."""
    means = statistics.by_context
    assert means is not None
    rows = statistics.is_control(screen)
    n_cells = statistics.n_cells[rows]
    mean, variance = statistics.expression_mean[rows], statistics.expression_variance[rows]
    overall = np.average(mean, axis=0, weights=n_cells)
    total = n_cells @ (variance + (mean - overall) ** 2)
    between = means.n_cells[is_control] @ (means.expression[is_control] - overall) ** 2
    degrees = max(n_cells.sum() - len(np.unique(codes[is_control])), 1.0)
    within = np.maximum(total - between, 0.0)
    if not within.any():
        # One control cell or well in each context: how conditions differ is more than how cells do.
        return np.maximum(means.expression.var(axis=0, dtype=np.float64), TINY)
    usual = np.median(within[within > 0]) / degrees
    moderated: FloatArray = (within + PRIOR_CELLS * usual) / (degrees + PRIOR_CELLS)
    return np.maximum(moderated, TINY)
