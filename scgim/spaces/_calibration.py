from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import nnls

from scgim.scm import Intervention, shift_nodes
from scgim.scm.generator._dense_interventions import respond
from scgim.spaces._population import Population

if TYPE_CHECKING:
    from scgim.scm import InterventionFit
    from scgim.spaces._fit import Fit
    from scgim.spaces._gene_effects import LeftOutShifts
    from scgim.spaces._latent_fit import LatentFit

# Draws of interventions, and cells for the mean of each; errors are pooled over genes and conditions.
N_DRAWS = 32
N_CELLS = 64
# Genes of each condition whose errors count, see ``ShiftErrors.calibrate``.
N_MOST_PREDICTED = 30
N_MOST_OBSERVED = 20
# Bound of the prototype study: draws are never believed to be more than twice too wide in variance.
MIN_SCALE = 0.5
# A few squared errors would else decide the least squares alone.
OUTLIER_QUANTILE = 0.99
QUANTILE_LEVELS = np.linspace(0, 1, 101)


def calibrate_intervals(
    fit: LatentFit, left_out: LeftOutShifts | None = None
) -> dict[str, dict[str, object]]:
    r"""Learn from errors how wide intervals of the mean shift must be.

    The half-width for gene :math:`g` is :math:`z \sqrt{cV_g + \tau_g^2 |S|}` with :math:`V` the
    variance over draws from the distribution over interventions and :math:`|S|` the number of
    mechanisms summed. The scale :math:`c \ge 0.5` and floor :math:`\tau_g^2`, in proportion to the
    mean square of the gene's shifts, are fitted to squared errors of predictions of the training
    conditions, less the sampling variance of the observed means; the quantiles :math:`z` are those
    of the same standardised errors. For unseen perturbations these are the errors with each
    perturbation left out, for seen ones the errors with each dose left out.

    Parameters
    ----------
    fit
        What was learned, with its rows in the module.
    left_out
        What direct effects add to the shifts of conditions that were left out; ``None`` for nothing.

    Returns
    -------
    For ``"seen"`` and ``"unseen"``: ``scale``, ``floor`` and ``quantiles`` of the absolute
    standardised error, at 101 levels from 0 to 1. Without a generator ``"unseen"`` is that of a
    normal distribution.
    """
    statistics = fit.statistics
    conditions = statistics.single_perturbations(fit.screen)
    if len(conditions.perturbation) == 0:  # combinations only: no row has an error of its own
        return {"seen": uncalibrated(), "unseen": uncalibrated()}
    chosen = upper_doses(conditions.log10_dose)
    perturbation = conditions.perturbation[chosen]
    errors = ShiftErrors(fit, statistics.single_rows(fit.screen)[chosen])
    rng = np.random.default_rng(0)
    table, hill = fit.table, fit.interventions.hill

    def calibrate(
        shift: np.ndarray,
        log10_ec50: np.ndarray,
        shift_noise: np.ndarray,
        ec50_noise: np.ndarray,
        beside_nodes: np.ndarray | None,
        *,
        is_averaged: bool = False,
    ) -> dict[str, object]:
        def at(shift: np.ndarray, log10_ec50: np.ndarray) -> Intervention:
            dose = conditions.log10_dose[chosen]
            return shift_nodes(torch.as_tensor(respond(table, hill, shift, log10_ec50, dose)))

        draws = at(shift + shift_noise, log10_ec50 + ec50_noise)
        base = at(shift, log10_ec50)
        return errors.calibrate(base, draws, beside_nodes, is_averaged=is_averaged)

    seen_beside, unseen_beside = None, None
    if left_out is not None:
        seen_beside, unseen_beside = (
            left_out.of_conditions(shift, conditions)[chosen]
            for shift in (left_out.seen, left_out.unseen)
        )
    seen = calibrate(*_leave_doses_out(fit.interventions, chosen, rng), seen_beside)
    generator = fit.interventions.generator
    if generator is None:
        return {"seen": seen, "unseen": uncalibrated()}
    shift_noise, ec50_noise = generator.draw_residuals(
        np.ones(len(chosen), int), np.zeros(len(chosen), bool), N_DRAWS, rng
    )
    unseen = calibrate(
        generator.left_out_shift[perturbation],
        generator.left_out_log10_ec50[perturbation],
        shift_noise - shift_noise.mean(0),
        ec50_noise - ec50_noise.mean(0),
        unseen_beside,
        is_averaged=generator.is_informative,
    )
    return {"seen": seen, "unseen": unseen}


def _leave_doses_out(
    fit: InterventionFit, chosen: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Effects for each condition estimated without it, and draws of their posterior noise."""
    statistics = fit.statistics
    dose = pd.Series(statistics.log10_dose)
    rank = dose.groupby(statistics.perturbation).rank(method="first").to_numpy()
    shift = np.zeros((len(rank), fit.effects.shift.shape[1]))
    shift_sd, log10_ec50, ec50_sd = (np.zeros(len(rank)) for _ in range(3))
    for fold in np.unique(rank):
        left_out = rank == fold
        effects, index = fit.effects_without(left_out), statistics.perturbation[left_out]
        shift[left_out], log10_ec50[left_out] = effects.shift[index], effects.log10_ec50[index]
        shift_sd[left_out] = np.sqrt(effects.shift_variance[index])
        ec50_sd[left_out] = np.sqrt(effects.log10_ec50_variance[index])
    shift_noise = rng.standard_normal((N_DRAWS, *shift.shape)) * shift_sd[:, None]
    ec50_noise = rng.standard_normal((N_DRAWS, len(rank))) * ec50_sd
    return shift[chosen], log10_ec50[chosen], shift_noise[:, chosen], ec50_noise[:, chosen]


class ShiftErrors:
    """Errors of predicted mean shifts of training conditions.

    Parameters
    ----------
    fit
        What was learned.
    rows
        Conditions to predict, as rows of its statistics.
    """

    def __init__(self, fit: Fit, rows: np.ndarray) -> None:
        self._observed, self._sampling = _observed_shift(fit, rows)
        self._population = Population(fit.module, fit.statistics, n_cells=N_CELLS)

    def calibrate(
        self,
        base: Intervention,
        draws: Intervention,
        beside_nodes: np.ndarray | None = None,
        *,
        is_averaged: bool = False,
    ) -> dict[str, object]:
        """Fit scale, floor and quantiles of intervals.

        Parameters
        ----------
        base
            Mean intervention of each condition, tensors of shape ``(n_conditions, n_nodes)``.
        draws
            Draws around it, shape ``(n_draws, n_conditions, n_nodes)``.
        beside_nodes
            Mean shift that is predicted beside that of the nodes, shape ``(n_conditions, n_genes)``.
        is_averaged
            Whether the prediction is the mean over the distribution, as for unseen perturbations.

        Returns
        -------
        As :func:`calibrate_intervals` for one kind of perturbations.
        """
        predicted = self._population.mean_shift(base).numpy()
        moved, curvature = self._population.spread(draws)
        if is_averaged:
            predicted = predicted + curvature
        if beside_nodes is not None:
            predicted = predicted + beside_nodes
        size = np.square(moved).mean(0)
        per_gene = size.mean(0) / max(size.mean(), 1e-12)
        # Errors of the genes that were thought to move, and of those that did. Genes are also seen to
        # move by chance, which overstates errors, while the decoder has seen these cells, which
        # understates them: with these shares intervals held their level in simulated screens.
        chosen = ((size, N_MOST_PREDICTED), (np.abs(self._observed), N_MOST_OBSERVED))
        top = np.concatenate([np.argsort(-values, axis=1)[:, :n] for values, n in chosen], 1)
        tables = (
            moved.var(0),
            np.broadcast_to(per_gene, size.shape),
            self._observed - predicted,
            self._sampling,
        )
        variance, share, error, noise = (
            np.take_along_axis(values, top, 1).ravel() for values in tables
        )
        squared = error**2 - noise
        squared = np.minimum(squared, np.quantile(squared, OUTLIER_QUANTILE))
        scale, floor = nnls(np.c_[variance, share], squared)[0]
        scale = max(scale, MIN_SCALE)
        standardised = np.abs(error) / np.sqrt(scale * variance + floor * share + noise + 1e-12)
        return {
            "scale": float(scale),
            "floor": floor * per_gene,
            "quantiles": np.quantile(standardised, QUANTILE_LEVELS),
        }


def uncalibrated() -> dict[str, Any]:
    """Take draws at their word: scale 1, no floor, normal quantiles."""
    normal = torch.distributions.Normal(0.0, 1.0)
    levels = torch.as_tensor(QUANTILE_LEVELS).clamp(max=0.9999)
    return {"scale": 1.0, "floor": np.zeros(1), "quantiles": normal.icdf((1 + levels) / 2).numpy()}


def widen(calibration: dict[str, Any]) -> dict[str, Any]:
    """Let the errors that were found widen intervals, but never narrow them."""
    normal = uncalibrated()
    return calibration | {
        "scale": max(calibration["scale"], normal["scale"]),
        "quantiles": np.maximum(calibration["quantiles"], normal["quantiles"]),
    }


def upper_doses(log10_dose: np.ndarray) -> np.ndarray:
    """Conditions at the upper half of the doses, where shifts can be told from noise."""
    if not np.isfinite(log10_dose).any():
        return np.arange(len(log10_dose))
    return np.flatnonzero(log10_dose >= np.median(log10_dose))


def _observed_shift(fit: Fit, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Observed mean shift of conditions and the sampling variance of it."""
    statistics = fit.statistics
    is_control = statistics.is_control(fit.screen)
    weights = statistics.n_cells[is_control]
    control = np.average(statistics.expression_mean[is_control], axis=0, weights=weights)
    shift = statistics.expression_mean[rows] - control
    variance = statistics.expression_variance
    control_variance = np.average(variance[is_control], axis=0, weights=weights)
    sampling = variance[rows] / statistics.n_cells[rows, None] + control_variance / weights.sum()
    return shift, sampling
