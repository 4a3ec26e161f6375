"""Predictors of World G without a causal model."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neural_network import MLPRegressor

from scgim.benchmark._genes_predictors import GenesPredictor, GenesScreen

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

RIDGE_PENALTIES = np.logspace(-2, 4, 25)
N_FOLDS = 8


class ControlMean(GenesPredictor):
    """No effect: the mean of the control cells."""

    name = "no effect"

    def fit(self, screen: GenesScreen) -> None:
        """Learn the mean of the control cells.

        Parameters
        ----------
        screen
            The training cells.
        """
        nodes = screen.nodes
        self._mean = nodes.condition_means(nodes.values)[nodes.perturbation < 0].mean(axis=0)

    def predict_mean(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Predict the mean of the control cells.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.

        Returns
        -------
        Means, shape ``(n_conditions, n_nodes)``.
        """
        return np.tile(self._mean, (len(conditions), 1))


class NearestCondition(GenesPredictor):
    """The measured mean of the most similar drug at the nearest dose."""

    name = "nearest drug"

    def fit(self, screen: GenesScreen) -> None:
        """Remember the means of the conditions.

        Parameters
        ----------
        screen
            The training cells.
        """
        self._screen = screen
        self._means = screen.nodes.condition_means(screen.nodes.values)

    def predict_mean(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Look up the nearest measured condition.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.

        Returns
        -------
        Means, shape ``(n_conditions, n_nodes)``.
        """
        nodes = self._screen.nodes
        assert nodes.features is not None
        treated = np.flatnonzero(nodes.perturbation >= 0)
        features = nodes.features[nodes.perturbation[treated]]
        asked = self._screen.features_of(conditions)
        distance = ((asked[:, None] - features) ** 2).sum(axis=-1)
        dose = np.log10(conditions["dose"].to_numpy(dtype=float))
        apart = np.abs(dose[:, None] - nodes.log10_dose[treated])
        # The drug decides first, the dose among its conditions.
        return self._means[treated[(1e3 * distance + apart).argmin(axis=1)]]


class _Regression(GenesPredictor):
    """Base of regressions from features and dose to the mean."""

    _regression: GridSearchCV | MLPRegressor

    def fit(self, screen: GenesScreen) -> None:
        """Learn from the means of the treated conditions.

        Parameters
        ----------
        screen
            The training cells.
        """
        self._screen = screen
        nodes = screen.nodes
        assert nodes.features is not None
        treated = nodes.perturbation >= 0
        owner = nodes.perturbation[treated]
        dose = 10.0 ** nodes.log10_dose[treated]
        self._center, self._scale = dose.mean(), dose.std() or 1.0
        design = self._design(nodes.features[owner], dose)
        self._regress(design, nodes.condition_means(nodes.values)[treated], owner)

    def predict_mean(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Predict mean standardised expression.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.

        Returns
        -------
        Means, shape ``(n_conditions, n_nodes)``.
        """
        dose = conditions["dose"].to_numpy(dtype=float)
        design = self._design(self._screen.features_of(conditions), dose)
        return np.asarray(self._regression.predict(design))

    def _design(
        self, features: NDArray[np.float64], dose: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        scaled = ((dose - self._center) / self._scale)[:, None]
        return np.hstack([scaled, features])

    @abstractmethod
    def _regress(
        self,
        design: NDArray[np.float64],
        means: NDArray[np.float64],
        owner: NDArray[np.int64],
    ) -> None:
        """Learn the regression; ``owner`` is the drug of each row."""


class RidgeWithDose(_Regression):
    """Ridge on features, dose and their products; penalty chosen by leaving out whole drugs."""

    name = "ridge with dose interactions"

    def _design(
        self, features: NDArray[np.float64], dose: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        plain = super()._design(features, dose)
        scaled = plain[:, :1]
        return np.hstack([plain, scaled**2, scaled * features])

    def _regress(
        self,
        design: NDArray[np.float64],
        means: NDArray[np.float64],
        owner: NDArray[np.int64],
    ) -> None:
        folds = GroupKFold(min(N_FOLDS, len(np.unique(owner))))
        search = GridSearchCV(
            Ridge(), {"alpha": RIDGE_PENALTIES}, cv=folds, scoring="neg_mean_squared_error"
        )
        self._regression = search.fit(design, means, groups=owner)


class Network(_Regression):
    """A multi-layer perceptron on features and dose."""

    name = "MLP"

    def _regress(
        self,
        design: NDArray[np.float64],
        means: NDArray[np.float64],
        owner: NDArray[np.int64],  # noqa: ARG002 - as ridge
    ) -> None:
        self._regression = MLPRegressor(
            hidden_layer_sizes=(64, 64),
            alpha=1.0,
            learning_rate_init=3e-3,
            max_iter=4000,
            tol=1e-5,
            random_state=0,
        ).fit(design, means)
