from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from scgim.model._conditions import respond
from scgim.model._population import Population
from scgim.model._training_statistics import TrainingStatistics

if TYPE_CHECKING:
    from scgim.scm import ConditionStatistics
    from scgim.model._fitting_mixin import FittingMixin

N_DRAWS = 32
N_CELLS = 64
N_TOP_GENES = 50
MIN_SCALE = 0.5
OUTLIER_QUANTILE = 0.99
QUANTILE_LEVELS = np.linspace(0, 1, 101)


def calibrate_intervals(model: FittingMixin) -> dict[str, object]:
    r"""Learn from left-out perturbations how wide intervals of the mean shift must be.

    The half-width for gene :math:`g` is :math:`z \sqrt{cV_g + \tau^2 |S|}` with :math:`V` the
    variance over draws from the generator and :math:`|S|` the number of mechanisms summed. The
    scale :math:`c \ge 0.5` and floor :math:`\tau^2` are fitted to the squared errors of left-out
    predictions of the training conditions, less the sampling variance of the observed means; the
    quantiles :math:`z` are those of the same standardised errors.

    Parameters
    ----------
    model
        Model after :meth:`learn_interventions`.

    Returns
    -------
    ``scale``, ``floor`` and ``quantiles`` of the absolute standardised error, at 101 levels from
    0 to 1. Those of the normal distribution where there is no generator.
    """
    generator = model.interventions.generator
    statistics = TrainingStatistics.from_dict(model.statistics_)
    conditions = statistics.single_perturbations(model.screen)
    if generator is None:
        return uncalibrated()
    chosen = _upper_doses(conditions)
    components = model.screen.table.components[statistics.label]
    rows = np.flatnonzero((components >= 0).sum(1) == 1)[chosen]
    perturbation, log10_dose = conditions.perturbation[chosen], conditions.log10_dose[chosen]

    rng = np.random.default_rng(0)
    draws = generator.draw_residuals(np.ones(len(perturbation), int), N_DRAWS, rng)
    shift = generator.left_out_shift[perturbation]
    log10_ec50 = generator.left_out_log10_ec50[perturbation]
    population = Population(model.module, statistics, n_cells=N_CELLS)

    def predicted(shift: np.ndarray, log10_ec50: np.ndarray) -> Tensor:
        table, hill = model.module.interventions, model.interventions.hill
        total = respond(table, hill, shift, log10_ec50, log10_dose)
        return population.mean_shift(torch.as_tensor(total, dtype=torch.float32))

    base = predicted(shift, log10_ec50).numpy()
    moved = np.stack(
        [predicted(shift + draws[0][d], log10_ec50 + draws[1][d]).numpy() for d in range(N_DRAWS)]
    )
    observed, sampling = _observed_shift(statistics, rows, model)
    top = np.argsort(-np.abs(base), axis=1)[:, :N_TOP_GENES]
    variance, error, noise = (
        np.take_along_axis(values, top, 1).ravel()
        for values in (moved.var(0), observed - base, sampling)
    )
    squared = np.minimum(error**2 - noise, np.quantile(error**2 - noise, OUTLIER_QUANTILE))
    scale, floor = nnls(np.c_[variance, np.ones_like(variance)], squared)[0]
    scale = max(scale, MIN_SCALE)
    standardised = np.abs(error) / np.sqrt(scale * variance + floor + noise + 1e-12)
    return {
        "scale": float(scale),
        "floor": float(floor),
        "quantiles": np.quantile(standardised, QUANTILE_LEVELS),
    }


def uncalibrated() -> dict[str, object]:
    """Take draws at their word: scale 1, no floor, normal quantiles."""
    normal = torch.distributions.Normal(0.0, 1.0)
    levels = torch.as_tensor(QUANTILE_LEVELS).clamp(max=0.9999)
    return {"scale": 1.0, "floor": 0.0, "quantiles": normal.icdf((1 + levels) / 2).numpy()}


def _upper_doses(conditions: ConditionStatistics) -> np.ndarray:
    """Conditions at the upper half of the doses, where shifts can be told from noise."""
    finite = np.isfinite(conditions.log10_dose)
    if not finite.any():
        return np.arange(len(conditions.log10_dose))
    return np.flatnonzero(conditions.log10_dose >= np.median(conditions.log10_dose))


def _observed_shift(
    statistics: TrainingStatistics, rows: np.ndarray, model: FittingMixin
) -> tuple[np.ndarray, np.ndarray]:
    """Observed mean shift of conditions and the sampling variance of it."""
    is_control = statistics.is_control(model.screen)
    weights = statistics.n_cells[is_control]
    control = np.average(statistics.expression_mean[is_control], axis=0, weights=weights)
    shift = statistics.expression_mean[rows] - control
    sampling = statistics.expression_variance[rows] / statistics.n_cells[rows, None]
    return shift, sampling
