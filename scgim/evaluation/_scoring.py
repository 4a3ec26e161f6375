"""Scores of predictions against held-out cells, one per condition and metric."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from scgim import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scgim.evaluation._held_out_cells import HeldOutCells
    from scgim.evaluation._training_screen import TrainingScreen

BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
Family = Literal["effect", "specificity", "changed genes", "distribution", "uncertainty"]
Better = Literal["higher", "lower", "zero"]


class Metric(NamedTuple):
    """A score and how to read it.

    Attributes
    ----------
    name
        Name in the tables.
    family
        What it judges.
    better
        Which values are better: higher, lower, or nearer to zero.
    """

    name: str
    family: Family
    better: Better


WMSE = "weighted MSE"
R2_CONTROL = "weighted R² from control"
R2_PERTURBED = "weighted R² from perturbed mean"
PEARSON = "Pearson from perturbed mean"
RANK = "rank"
DISCRIMINATION: dict[str, metrics.ShiftDistance] = {
    "discrimination l1": "l1",
    "discrimination l2": "l2",
    "discrimination cosine": "cosine",
}
OVERLAP, SIGN, SPEARMAN = "overlap of top genes", "sign agreement", "Spearman of changed genes"
ENERGY, MMD, WASSERSTEIN = "energy distance", "MMD", "Wasserstein-1"
DISPERSION, COVARIANCE = "dispersion bias", "covariance error"
COVERAGE, HALF_WIDTH = "coverage of the interval", "half-width of the interval"

METRICS = (
    Metric(WMSE, "effect", "lower"),
    Metric(R2_CONTROL, "effect", "higher"),
    Metric(R2_PERTURBED, "effect", "higher"),
    Metric(PEARSON, "effect", "higher"),
    Metric(RANK, "specificity", "lower"),
    *(Metric(name, "specificity", "higher") for name in DISCRIMINATION),
    Metric(OVERLAP, "changed genes", "higher"),
    Metric(SIGN, "changed genes", "higher"),
    Metric(SPEARMAN, "changed genes", "higher"),
    Metric(ENERGY, "distribution", "lower"),
    Metric(MMD, "distribution", "lower"),
    Metric(WASSERSTEIN, "distribution", "lower"),
    Metric(DISPERSION, "distribution", "zero"),
    Metric(COVARIANCE, "distribution", "lower"),
    Metric(COVERAGE, "uncertainty", "zero"),
    Metric(HALF_WIDTH, "uncertainty", "lower"),
)
WHY_NAN = {
    PEARSON: "prediction or truth does not vary over genes",
    RANK: "no other perturbation at this dose and context",
    R2_CONTROL: "no true shift",
    R2_PERTURBED: "no true shift",
    OVERLAP: "no gene changed",
    SIGN: "no gene changed",
    SPEARMAN: "fewer than two genes changed, or the prediction is constant over them",
    DISPERSION: "the true cells do not vary",
    COVARIANCE: "the true cells do not vary",
    COVERAGE: "the predictor states no interval",
    HALF_WIDTH: "the predictor states no interval",
    **dict.fromkeys(DISCRIMINATION, "no other perturbation at this dose and context"),
}


@dataclass(frozen=True)
class ScoringSettings:
    """Sizes that scores depend on; state them with every score.

    Attributes
    ----------
    n_cells
        Predicted cells per condition.
    max_true_cells
        Held-out cells per condition that distances between cells look at.
    n_top_genes
        Genes of each side that the overlap compares, at most as many as truly changed.
    n_genes
        Genes of :data:`Wasserstein-1 <scgim.metrics.wasserstein_per_gene>`, dispersion and coverage:
        those that move most over the training conditions.
    level
        Level of the intervals whose coverage is measured.
    seed
        Seed of predicted cells and of the choice of true ones.
    """

    n_cells: int = 100
    max_true_cells: int = 300
    n_top_genes: int = 50
    n_genes: int = 100
    level: float = 0.8
    seed: int = 0


@dataclass(frozen=True)
class Prediction:
    """What a predictor says about the held-out conditions.

    Attributes
    ----------
    name
        Name of the predictor.
    shift
        Mean shift from control, shape ``(n_conditions, n_genes)``; NaN where it cannot predict.
    why_not
        Reason per condition, empty where it can predict.
    cells
        Gives predicted cells of conditions by their numbers, one array cells x genes each.
    half_width
        Half-width of the interval of the mean shift, same shape; ``None`` without intervals.
    """

    name: str
    shift: NDArray[np.float64]
    why_not: list[str]
    cells: Callable[[NDArray[np.int64]], list[NDArray[np.float32]]]
    half_width: NDArray[np.float64] | None = None

    @property
    def can_predict(self) -> NDArray[np.bool_]:
        """Whether a condition is predicted, shape ``(n_conditions,)``."""
        return np.array([not reason for reason in self.why_not], dtype=bool)


@dataclass(frozen=True)
class Scorer:
    """Scores predictions; everything that is chosen or scaled comes from the training cells.

    Attributes
    ----------
    screen
        The training cells.
    truth
        The held-out cells.
    settings
        Sizes.
    """

    screen: TrainingScreen
    truth: HeldOutCells
    settings: ScoringSettings = ScoringSettings()

    def score(self, prediction: Prediction) -> pd.DataFrame:
        """Score one predictor.

        Parameters
        ----------
        prediction
            What it predicts.

        Returns
        -------
        One row per condition and metric: ``condition`` (number), ``metric``, ``value`` and ``reason``
        (why there is no value, else empty).
        """
        can = prediction.can_predict
        values = {metric.name: np.full(len(can), np.nan) for metric in METRICS}
        rows = np.flatnonzero(can)
        n_cells = np.zeros(len(can), dtype=int)
        if len(rows):
            scores = self._score_shifts(prediction.shift[rows], rows)
            if len(rows) == len(can):
                scores |= self._score_specificity(prediction.shift)
            if prediction.half_width is not None:
                scores |= self._score_interval(prediction.shift, prediction.half_width, rows)
            for name, found in scores.items():
                values[name][rows] = found
            n_cells[rows] = self._score_cells(prediction, rows, values)
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "condition": np.arange(len(can)),
                        "metric": name,
                        "value": value,
                        "reason": self._reasons(name, value, prediction, n_cells),
                    }
                )
                for name, value in values.items()
            ],
            ignore_index=True,
        )

    @cached_property
    def perturbed_shift(self) -> NDArray[np.float64]:
        """Mean shift of the training conditions of the same context, ``(n_conditions, n_genes)``."""
        contexts = self.screen.conditions["context"].to_numpy()
        overall = self.screen.shift.mean(axis=0)
        means = {
            context: self.screen.shift[contexts == context].mean(axis=0)
            for context in np.unique(contexts)
        }
        return np.array([means.get(context, overall) for context in self.truth.plain["context"]])

    @cached_property
    def moving_genes(self) -> NDArray[np.int64]:
        """The genes that move most over the training conditions, in their control deviations."""
        size = (self.screen.shift / self._control_deviation) ** 2
        weight = self.screen.conditions["n_cells"].to_numpy(dtype=float)
        return np.sort(np.argsort(-(weight @ size), kind="stable")[: self.settings.n_genes])

    @cached_property
    def _control_deviation(self) -> NDArray[np.float64]:
        deviation = self.screen.expression[self.screen.is_control].std(axis=0, dtype=np.float64)
        positive = deviation[deviation > 0]
        return np.maximum(deviation, 0.1 * np.median(positive) if len(positive) else 1.0)

    @cached_property
    def _bandwidths(self) -> list[float]:
        control = self._project(self.screen.expression[self.screen.is_control])
        scale = float(np.sqrt(2.0 * control.var(axis=0).sum())) or 1.0
        return [factor * scale for factor in BANDWIDTH_FACTORS]

    @cached_property
    def _true_cells(self) -> list[NDArray[np.float32]]:
        rng = np.random.default_rng(self.settings.seed)
        groups = [self.truth.cells_of(index) for index in range(self.truth.n_conditions)]
        return [
            cells[rng.permutation(len(cells))[: self.settings.max_true_cells]] for cells in groups
        ]

    @cached_property
    def _true_components(self) -> list[NDArray[np.float64]]:
        return [self._project(cells) for cells in self._true_cells]

    def _project(self, cells: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.screen.pca.transform(cells).astype(np.float64)

    def _score_shifts(
        self, shift: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Scores of each condition by itself."""
        truth = self.truth
        true, weights, reference = (
            truth.shift[rows],
            truth.weights[rows],
            self.perturbed_shift[rows],
        )
        changed, statistic = truth.changed.is_changed[rows], truth.changed.statistic[rows]
        standardized = shift / self._control_deviation
        return {
            WMSE: metrics.weighted_mse(shift, true, weights),
            R2_CONTROL: metrics.weighted_r2(shift, true, weights),
            R2_PERTURBED: metrics.weighted_r2(shift - reference, true - reference, weights),
            PEARSON: metrics.shift_correlation(shift - reference, true - reference),
            OVERLAP: metrics.overlap_at_k(
                standardized, statistic, changed, self.settings.n_top_genes
            ),
            SIGN: metrics.sign_agreement(shift, true, changed),
            SPEARMAN: metrics.changed_gene_correlation(shift, true, changed),
        }

    def _score_specificity(self, shift: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Tell the perturbations at one dose and context apart."""
        scores = {name: np.full(len(shift), np.nan) for name in (RANK, *DISCRIMINATION)}
        for rows in self.truth.plain.groupby(["dose", "context"]).indices.values():
            predicted, true = shift[rows], self.truth.shift[rows]
            scores[RANK][rows] = metrics.rank_score(predicted, true)
            for name, distance in DISCRIMINATION.items():
                scores[name][rows] = metrics.discrimination_score(predicted, true, distance)
        return scores

    def _score_interval(
        self, shift: NDArray[np.float64], half_width: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Coverage of measured shifts: their own sampling error widens the interval."""
        cut = np.ix_(rows, self.moving_genes)
        z = norm.ppf(0.5 + self.settings.level / 2)
        allowed = np.hypot(half_width[cut], z * np.nan_to_num(self.truth.standard_error[cut]))
        is_inside = np.abs(shift[cut] - self.truth.shift[cut]) <= allowed
        return {COVERAGE: is_inside.mean(axis=1), HALF_WIDTH: half_width[cut].mean(axis=1)}

    def _score_cells(
        self,
        prediction: Prediction,
        rows: NDArray[np.int64],
        values: dict[str, NDArray[np.float64]],
    ) -> NDArray[np.int64]:
        """Compare distributions; returns the number of predicted cells of each condition."""
        n_cells = []
        for row, cells in zip(rows, prediction.cells(rows), strict=True):
            n_cells.append(len(cells))
            true = self._true_cells[row]
            if min(len(cells), len(true)) < 2:
                continue
            scores = self._score_distribution(cells, true, self._true_components[row])
            for name, value in scores.items():
                values[name][row] = value
        return np.array(n_cells)

    def _score_distribution(
        self,
        cells: NDArray[np.float32],
        true: NDArray[np.float32],
        true_components: NDArray[np.float64],
    ) -> dict[str, float]:
        components, genes = self._project(cells), self.moving_genes
        distances = metrics.wasserstein_per_gene(cells[:, genes], true[:, genes])
        return {
            ENERGY: metrics.energy_distance(components, true_components),
            MMD: metrics.mmd(components, true_components, bandwidths=self._bandwidths),
            WASSERSTEIN: float(distances.mean()),
            DISPERSION: metrics.dispersion_bias(cells[:, genes], true[:, genes]),
            COVARIANCE: metrics.covariance_error(components, true_components),
        }

    def _reasons(
        self,
        metric: str,
        value: NDArray[np.float64],
        prediction: Prediction,
        n_predicted: NDArray[np.int64],
    ) -> list[str]:
        is_specific = metric == RANK or metric in DISCRIMINATION
        is_partial = is_specific and not prediction.can_predict.all()
        is_distribution = metric in {ENERGY, MMD, WASSERSTEIN, DISPERSION, COVARIANCE}
        reasons = []
        for index, why_not in enumerate(prediction.why_not):
            reason = WHY_NAN.get(metric, "not defined")
            if is_partial:
                reason = "it does not predict all conditions"
            elif is_distribution and len(self._true_cells[index]) < 2:
                reason = "one held-out cell"
            elif is_distribution and n_predicted[index] < 2:
                reason = "one predicted cell"
            reasons.append("" if np.isfinite(value[index]) else why_not or reason)
        return reasons
