"""Baselines that predict from features of the perturbations, fitted on training cells only."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor

from scgim.evaluation._checks import check_has_features
from scgim.evaluation._moved_control import MovedControl
from scgim.evaluation._training_screen import group_means
from scgim.scm._dose_response import hill_response_of_arrays
from scgim.scm.generator._empirical_bayes import ConditionStatistics
from scgim.scm.generator._fit_interventions import InterventionFit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scgim.evaluation._training_screen import TrainingScreen

RIDGE_PENALTIES = np.logspace(-2, 4, 25)
N_FOLDS = 8
N_NETWORKS = 5
N_BILINEAR, BILINEAR_PENALTY = 10, 0.1
HILL_SLOPES = (0.5, 0.7, 1.0, 1.4, 2.0)


class _NeedsFeatures(MovedControl):
    """Base of predictors that need features of the perturbations that they are asked for."""

    min_perturbations = 1

    def _lacks(self, screen: TrainingScreen) -> str:
        if not screen.has_features:
            return "the screen has no features of perturbations"
        labels = screen.conditions["perturbation"][_is_single(screen)]
        if labels.nunique() < self.min_perturbations:
            return (
                f"{labels.nunique()} perturbations in training, "
                f"at least {self.min_perturbations} are needed"
            )
        return ""


class NearestPerturbation(_NeedsFeatures):
    """The measured shift of the perturbations with the most similar features, at the nearest dose.

    Features of 0 and 1 are fingerprints and are compared by Tanimoto similarity, others by Euclidean
    distance after standardisation. Where the context of a condition was measured, only perturbations in
    that context are compared; else their mean over contexts.

    Parameters
    ----------
    n_neighbors
        How many perturbations are averaged, nearer ones with more weight (inverse distance).
    """

    name = "nearest drug"

    def __init__(self, n_neighbors: int = 1) -> None:
        self.n_neighbors = n_neighbors
        if n_neighbors > 1:
            self.name = f"{n_neighbors} nearest drugs"

    def _fit_shift(self, screen: TrainingScreen) -> None:
        is_single = _is_single(screen)
        self._measured = screen.conditions[is_single].reset_index(drop=True)
        self._measured_dose = screen.log10_dose(self._measured["dose"].to_numpy())
        self._measured_shift = screen.shift[is_single]
        is_binary = np.isin(screen.features.to_numpy(), (0, 1)).all()
        self._metric = "jaccard" if is_binary else "euclidean"
        self._features = screen.features.astype(bool) if is_binary else screen.standardized_features

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        log10_dose = screen.log10_dose(single["dose"].to_numpy())
        shift = np.zeros((len(single), screen.adata.n_vars))
        groups = pd.DataFrame({"dose": log10_dose, "context": single["context"]})
        for (dose, context), rows in groups.groupby(["dose", "context"]).indices.items():
            measured = self._comparable(dose, context)
            candidates, means = self._mean_shifts(measured)
            neighbors = KNeighborsRegressor(
                min(self.n_neighbors, len(candidates)), weights="distance", metric=self._metric
            )
            neighbors.fit(self._features_of(candidates), means)
            shift[rows] = neighbors.predict(self._features_of(single["perturbation"].iloc[rows]))
        return shift

    def _comparable(self, log10_dose: float, context: str) -> NDArray[np.int64]:
        """Rows of the measured conditions of a context at the dose nearest to the one asked for."""
        is_in = (self._measured["context"] == context).to_numpy()
        rows = np.flatnonzero(is_in if is_in.any() else np.ones_like(is_in))
        distance = np.abs(self._measured_dose[rows] - log10_dose)
        return rows[np.isclose(distance, distance.min())]

    def _mean_shifts(self, rows: NDArray[np.int64]) -> tuple[pd.Series, NDArray[np.float64]]:
        """Perturbations among measured conditions, and the mean shift of each."""
        code, names = pd.factorize(self._measured["perturbation"].iloc[rows])
        return pd.Series(names), group_means(self._measured_shift[rows], code, len(names))

    def _features_of(self, perturbations: pd.Series) -> NDArray[np.generic]:
        check_has_features(perturbations.tolist(), self._features.index)
        return self._features.loc[perturbations].to_numpy()


class _FeatureDesign(_NeedsFeatures):
    """Base of regressions on features, dose and context."""

    min_perturbations = 2

    def _design(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        """Standardised log10 dose, features, and the context as a choice of one."""
        measured = screen.log10_dose(screen.conditions["dose"].to_numpy())
        dose = screen.log10_dose(single["dose"].to_numpy()) - measured.mean()
        features = _features_of(self._table(screen), single)
        contexts = np.array(screen.contexts if len(screen.contexts) > 1 else [], dtype=str)
        is_in = single["context"].to_numpy(dtype=str)[:, None] == contexts
        return np.column_stack([dose / (measured.std() or 1.0), features, is_in])

    def _table(self, screen: TrainingScreen) -> pd.DataFrame:
        return screen.standardized_features


class _ComponentShift(_FeatureDesign):
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

    @abstractmethod
    def _fit_scores(
        self, design: NDArray[np.float64], scores: NDArray[np.float64], groups: NDArray[np.str_]
    ) -> None:
        """Learn component scores from the design; ``groups`` names the perturbation of a row."""

    @abstractmethod
    def _predict_scores(self, design: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predict component scores."""


class RidgeOnFeatures(_ComponentShift):
    """Ridge regression on features, context, dose, dose squared and the products with the dose.

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


class BilinearOnFeatures(_FeatureDesign):
    r"""The bilinear model :math:`G K P^\top + b` of :cite:t:`ahlmanneltze2025`, penalty 0.1.

    :math:`G` has the genes in 10 principal components of the measured shifts, :math:`P` the
    conditions in 10 principal components of the features, and :math:`b` the mean shift. Screens
    with doses and contexts, which the paper does not have, add those to :math:`P` as in
    :class:`RidgeOnFeatures`.
    """

    name = "bilinear"

    def _fit_shift(self, screen: TrainingScreen) -> None:
        is_single = _is_single(screen)
        measured = screen.conditions[is_single].reset_index(drop=True)
        shift = screen.shift[is_single].T
        self._mean = shift.mean(axis=1)
        self._genes = PCA(min(N_BILINEAR, *shift.shape), svd_solver="full").fit_transform(shift)
        design = _with_interactions(self._design(screen, measured))
        centered = shift - self._mean[:, None]
        # K = (G'G + λ)⁻¹ G' (Y - b) P (P'P + λ)⁻¹: a ridge regression on either side.
        left = Ridge(BILINEAR_PENALTY, fit_intercept=False).fit(self._genes, centered).coef_
        self._right = Ridge(BILINEAR_PENALTY, fit_intercept=False).fit(design, left).coef_

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        design = _with_interactions(self._design(screen, single))
        return self._mean + design @ self._right.T @ self._genes.T

    def _table(self, screen: TrainingScreen) -> pd.DataFrame:
        features = screen.standardized_features
        seen = screen.conditions["perturbation"][_is_single(screen)].unique()
        training = features.loc[seen]
        pca = PCA(min(N_BILINEAR, *training.shape), svd_solver="full").fit(training)
        scores = pca.transform(features) / (np.sqrt(pca.explained_variance_.mean()) or 1.0)
        return pd.DataFrame(scores, index=features.index)


class MLPEnsemble(_ComponentShift):
    """The mean of five multi-layer perceptrons on features and dose.

    Fingerprints enter by 40 principal components.
    """

    name = "MLP ensemble"

    def _table(self, screen: TrainingScreen) -> pd.DataFrame:
        return screen.condensed_features

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


class GeneratorOnComponents(_NeedsFeatures):
    """The intervention generator of GIM on the mean shift in principal components.

    It has the Hill curves, the empirical Bayes and the members of GIM, but no causal graph and no
    noise model: what GIM does better than this is what the causal model earns. Components are scaled
    to unit deviation in control cells, as nodes are.
    """

    name = "generator on PCA"
    min_perturbations = 4

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
        self._fit_of_rows.learn_generator(features, screen.feature_blocks)

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        shift, log10_ec50 = self._rows_of(screen, single)
        log10_dose = screen.log10_dose(single["dose"].to_numpy())
        response = hill_response_of_arrays(log10_dose, log10_ec50, self._fit_of_rows.hill)
        return (response[:, None] * shift * self._deviation) @ screen.pca.components_

    def _rows_of(
        self, screen: TrainingScreen, single: pd.DataFrame
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Saturating shift and log10 EC50 of each row: estimated if seen, generated if not."""
        rows, generator = self._fit_of_rows.effects, self._fit_of_rows.generator
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
    statistics, rows = fit.statistics, fit.effects
    log10_ec50 = rows.log10_ec50[statistics.perturbation]
    response = hill_response_of_arrays(statistics.log10_dose, log10_ec50, fit.hill)
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
