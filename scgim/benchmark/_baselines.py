"""Predictors without a causal model, fitted on the training cells only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPRegressor

from scgim._validation._benchmark import check_has_features, check_is_fitted
from scgim.scm._empirical_bayes import ConditionStatistics
from scgim.scm._fit_interventions import InterventionFit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scgim.benchmark._training_screen import TrainingScreen

RIDGE_PENALTIES = np.logspace(-2, 4, 25)
N_FOLDS = 8
N_NETWORKS = 5
HILL_SLOPES = (0.5, 0.7, 1.0, 1.4, 2.0)


class MovedControl(ABC):
    """A predictor of mean shifts; its cells are control cells moved by the shift.

    The shift of the control and of dose 0 is 0, that of a combination ``"A+B"`` the sum of its parts.

    Attributes
    ----------
    name
        Name in the tables of results.
    """

    name: str
    _screen: TrainingScreen | None = None

    def fit(self, screen: TrainingScreen) -> None:
        """Learn from the training cells.

        Parameters
        ----------
        screen
            The training cells.
        """
        self._screen = screen
        self._fit_shift(screen)

    def predict_shift(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Predict mean shifts from control.

        Parameters
        ----------
        conditions
            Columns of perturbation and dose, named as in the screen.

        Returns
        -------
        Mean shift in log1p(CP10k), shape ``(n_conditions, n_genes)``.
        """
        screen = self._fitted_screen()
        shift = np.zeros((len(conditions), screen.adata.n_vars))
        row, single = self._singles(conditions)
        if len(row):
            np.add.at(shift, row, self._shift_of(screen, single))
        return shift

    def predict_cells(
        self, conditions: pd.DataFrame, n_cells: int, *, seed: int
    ) -> NDArray[np.float32]:
        """Move randomly drawn control cells by the predicted shift.

        Parameters
        ----------
        conditions
            Columns of perturbation and dose, named as in the screen.
        n_cells
            Cells per condition.
        seed
            Seed of the draw.

        Returns
        -------
        log1p(CP10k), shape ``(n_conditions, n_cells, n_genes)``; values below 0 are left as they are.
        """
        screen = self._fitted_screen()
        control = np.flatnonzero(screen.is_control)
        drawn = np.random.default_rng(seed).choice(control, (len(conditions), n_cells))
        shift = self.predict_shift(conditions).astype(np.float32)
        return screen.expression[drawn] + shift[:, None, :]

    @abstractmethod
    def _fit_shift(self, screen: TrainingScreen) -> None:
        """Learn whatever the shift needs."""

    @abstractmethod
    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        """Predict the shift of single perturbations at doses above 0."""

    def _fitted_screen(self) -> TrainingScreen:
        check_is_fitted(self.name, is_fitted=self._screen is not None)
        assert self._screen is not None
        return self._screen

    def _singles(self, conditions: pd.DataFrame) -> tuple[NDArray[np.int64], pd.DataFrame]:
        """Split combinations: the row of each single perturbation, and its name and dose."""
        screen = self._fitted_screen()
        labels = conditions[screen.keys.perturbation].astype(str)
        parts = [screen.split(label) for label in labels]
        row = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        key = screen.keys.dose
        dose = np.ones(len(parts)) if key is None else conditions[key].to_numpy(dtype=float)
        names = [name for part in parts for name in part]
        single = pd.DataFrame({"perturbation": names, "dose": dose[row]})
        is_dosed = (single["dose"] > 0).to_numpy()
        return row[is_dosed], single[is_dosed].reset_index(drop=True)


class NoEffect(MovedControl):
    """Every perturbation leaves the control cells as they are."""

    name = "no effect"

    def _fit_shift(self, screen: TrainingScreen) -> None:
        """Learn nothing."""

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        return np.zeros((len(single), screen.adata.n_vars))


class MeanOfTreated(MovedControl):
    """The mean shift of all perturbations at the nearest dose that was measured."""

    name = "mean of treated"

    def _fit_shift(self, screen: TrainingScreen) -> None:
        shift = pd.DataFrame(screen.shift).groupby(screen.conditions["dose"].to_numpy()).mean()
        self._doses = screen.log10_dose(shift.index.to_numpy(dtype=float))
        self._means = shift.to_numpy()

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        asked = screen.log10_dose(single["dose"].to_numpy())
        return self._means[np.abs(asked[:, None] - self._doses).argmin(axis=1)]


class NearestPerturbation(MovedControl):
    """The measured shift of the perturbation with the most similar features, at the nearest dose."""

    name = "nearest drug"

    def _fit_shift(self, screen: TrainingScreen) -> None:
        self._is_single = _is_single(screen)
        measured = screen.conditions[self._is_single]
        self._measured_dose = screen.log10_dose(measured["dose"].to_numpy())
        self._measured_features = _features_of(screen.standardized_features, measured)
        self._measured_shift = screen.shift[self._is_single]

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        asked_dose = screen.log10_dose(single["dose"].to_numpy())
        asked_features = _features_of(screen.standardized_features, single)
        distance = np.abs(asked_dose[:, None] - self._measured_dose)
        shift = np.zeros((len(single), screen.adata.n_vars))
        for dose in np.unique(asked_dose):
            rows = asked_dose == dose
            nearest_dose = distance[rows][0]
            measured = np.isclose(nearest_dose, nearest_dose.min())
            search = NearestNeighbors(n_neighbors=1).fit(self._measured_features[measured])
            chosen = search.kneighbors(asked_features[rows], return_distance=False)[:, 0]
            shift[rows] = self._measured_shift[measured][chosen]
        return shift


class _ComponentShift(MovedControl):
    """Base of regressions from features and dose to the mean shift in principal components."""

    def _fit_shift(self, screen: TrainingScreen) -> None:
        is_single = _is_single(screen)
        measured = screen.conditions[is_single].reset_index(drop=True)
        scores = screen.shift[is_single] @ screen.pca.components_.T
        self._scale = float(np.sqrt((scores**2).mean())) or 1.0
        groups = measured["perturbation"].to_numpy()
        self._fit_scores(self._design(screen, measured), scores / self._scale, groups)

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        scores = self._predict_scores(self._design(screen, single))
        return self._scale * scores.reshape(len(single), -1) @ screen.pca.components_

    def _design(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        """Standardised features with the log10 dose, itself standardised, as first column."""
        measured = screen.log10_dose(screen.conditions["dose"].to_numpy())
        dose = screen.log10_dose(single["dose"].to_numpy()) - measured.mean()
        features = _features_of(screen.standardized_features, single)
        return np.column_stack([dose / (measured.std() or 1.0), features])

    @abstractmethod
    def _fit_scores(
        self, design: NDArray[np.float64], scores: NDArray[np.float64], groups: NDArray[np.str_]
    ) -> None:
        """Learn component scores from the design; ``groups`` names the perturbation of a row."""

    @abstractmethod
    def _predict_scores(self, design: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predict component scores."""


class RidgeOnFeatures(_ComponentShift):
    """Ridge regression on features, dose, dose squared and the products of features and dose.

    The penalty is chosen by cross-validation over perturbations, never over conditions: doses of one
    perturbation would tell about each other.
    """

    name = "ridge"

    def _fit_scores(
        self, design: NDArray[np.float64], scores: NDArray[np.float64], groups: NDArray[np.str_]
    ) -> None:
        folds = GroupKFold(min(N_FOLDS, len(np.unique(groups))))
        search = GridSearchCV(
            Ridge(), {"alpha": RIDGE_PENALTIES}, cv=folds, scoring="neg_mean_squared_error"
        )
        self._regression = search.fit(_with_interactions(design), scores, groups=groups)

    def _predict_scores(self, design: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._regression.predict(_with_interactions(design))


class MLPEnsemble(_ComponentShift):
    """The mean of five multi-layer perceptrons on features and dose."""

    name = "MLP ensemble"

    def _fit_scores(
        self,
        design: NDArray[np.float64],
        scores: NDArray[np.float64],
        groups: NDArray[np.str_],  # noqa: ARG002 - as ridge
    ) -> None:
        self._networks = [
            MLPRegressor(
                hidden_layer_sizes=(64, 64),
                alpha=1.0,
                learning_rate_init=3e-3,
                max_iter=4000,
                tol=1e-5,
                random_state=seed,
            ).fit(design, scores)
            for seed in range(N_NETWORKS)
        ]

    def _predict_scores(self, design: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.mean([network.predict(design) for network in self._networks], axis=0)


class GeneratorOnComponents(MovedControl):
    """The intervention generator of GIM on the mean shift in principal components.

    It has the Hill curves, the empirical Bayes and the members of GIM, but no causal graph and no
    noise model: what GIM does better than this is what the causal model earns. Components are scaled
    to unit deviation in control cells, as nodes are.
    """

    name = "generator on PCA"

    def _fit_shift(self, screen: TrainingScreen) -> None:
        is_single = _is_single(screen)
        measured = screen.conditions[is_single]
        components = screen.pca.components_
        control = (screen.expression[screen.is_control] - screen.control_mean) @ components.T
        self._deviation = np.maximum(control.std(axis=0), 1e-12)
        self._names, row = np.unique(measured["perturbation"].to_numpy(), return_inverse=True)
        statistics = ConditionStatistics(
            perturbation=row,
            log10_dose=screen.log10_dose(measured["dose"].to_numpy()),
            n_cells=measured["n_cells"].to_numpy(dtype=float),
            residual=(screen.shift[is_single] @ components.T) / self._deviation,
        )
        fits = [_fit_rows(statistics, len(self._names), hill) for hill in HILL_SLOPES]
        self._fit_of_rows = min(fits, key=_unexplained)
        features = screen.features.loc[self._names].to_numpy(dtype=float)
        self._fit_of_rows.learn_generator(features, np.zeros(features.shape[1], dtype=int))

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        shift, log10_ec50 = self._rows_of(screen, single)
        log10_dose = screen.log10_dose(single["dose"].to_numpy())
        response = expit(self._fit_of_rows.hill * np.log(10.0) * (log10_dose - log10_ec50))
        return (response[:, None] * shift * self._deviation) @ screen.pca.components_

    def _rows_of(
        self, screen: TrainingScreen, single: pd.DataFrame
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Saturating shift and log10 EC50 of each row: estimated if seen, generated if not."""
        rows, generator = self._fit_of_rows.rows, self._fit_of_rows.generator
        index = pd.Index(self._names).get_indexer(single["perturbation"])
        shift, log10_ec50 = rows.shift[index].copy(), rows.log10_ec50[index].copy()
        unseen = np.flatnonzero(index < 0)
        shift[unseen], log10_ec50[unseen] = 0.0, 0.0
        if len(unseen) and generator is not None:
            generated = generator.predict(_features_of(screen.features, single.iloc[unseen]))
            shift[unseen], log10_ec50[unseen] = generated.shift, generated.log10_ec50
        return shift, log10_ec50


def _fit_rows(
    statistics: ConditionStatistics, n_perturbations: int, hill: float
) -> InterventionFit:
    center = float(np.median(statistics.log10_dose))
    start = np.full(n_perturbations, center)
    shift = np.zeros((n_perturbations, statistics.residual.shape[1]))
    return InterventionFit(statistics, response=None, shift=shift, log10_ec50=start, hill=hill)


def _unexplained(fit: InterventionFit) -> float:
    """Sum of squares that the Hill curves leave, in units of the sampling noise."""
    statistics, rows = fit.statistics, fit.rows
    log10_ec50 = rows.log10_ec50[statistics.perturbation]
    response = expit(fit.hill * np.log(10.0) * (statistics.log10_dose - log10_ec50))
    predicted = response[:, None] * rows.shift[statistics.perturbation]
    return float(statistics.n_cells @ ((statistics.residual - predicted) ** 2).sum(axis=1))


def _is_single(screen: TrainingScreen) -> NDArray[np.bool_]:
    """Whether a training condition has one perturbation only."""
    labels = screen.conditions["perturbation"]
    return np.array([len(screen.split(label)) == 1 for label in labels])


def _features_of(table: pd.DataFrame, single: pd.DataFrame) -> NDArray[np.float64]:
    check_has_features(single["perturbation"].tolist(), table.index)
    return table.loc[single["perturbation"]].to_numpy(dtype=float)


def _with_interactions(design: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add the square of the dose and the products of dose and features."""
    dose, features = design[:, :1], design[:, 1:]
    return np.hstack([dose, dose**2, features, dose * features])
