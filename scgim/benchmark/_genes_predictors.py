"""What predicts World G: the screen that predictors see, what they are asked, and the published fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from scgim.scm import (
    GradientModel,
    GradientSettings,
    NamedNodeScreen,
    compute_linear_mean,
    compute_log_densities,
    fit_structure_by_gradient,
    sample_nodes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import anndata as ad
    from numpy.typing import NDArray

    from scgim.datasets import GenesWorld
    from scgim.scm import Intervention

SAMPLE_SEED = 2


class GenesScreen(NamedTuple):
    """A screen of World G, its cells and the same as arrays.

    Attributes
    ----------
    nodes
        Cells and conditions.
    drugs
        Names of the training drugs, in the order of their codes.
    features
        Features of all drugs, seen and unseen.
    cells
        The training cells.
    """

    nodes: NamedNodeScreen
    drugs: list[str]
    features: pd.DataFrame
    cells: ad.AnnData

    @classmethod
    def from_anndata(cls, adata: ad.AnnData) -> GenesScreen:
        """Read a screen of :class:`~scgim.datasets.GenesWorld`.

        Parameters
        ----------
        adata
            Its training cells.

        Returns
        -------
        The screen.
        """
        features = adata.uns["drug_features"]
        label = adata.obs["drug"].astype(str)
        drugs = [drug for drug in features.index if (label == drug).any()]
        by_condition = adata.obs.assign(drug=label).groupby(["drug", "dose"], sort=True)
        conditions = pd.DataFrame(list(by_condition.groups), columns=["drug", "dose"])
        dose = conditions["dose"].to_numpy(dtype=float)
        nodes = NamedNodeScreen(
            values=np.asarray(adata.X, dtype=float),
            condition=by_condition.ngroup().to_numpy(),
            perturbation=pd.Index(drugs).get_indexer(conditions["drug"]),
            log10_dose=np.log10(np.where(dose > 0, dose, 1.0)),
            features=features.loc[drugs].to_numpy(dtype=float),
        )
        return cls(nodes, drugs, features, adata)

    def codes(self, conditions: pd.DataFrame) -> NDArray[np.int64]:
        """Code of each condition's drug, -1 for drugs that the screen does not contain.

        Parameters
        ----------
        conditions
            Column ``drug``.

        Returns
        -------
        Codes, shape ``(n_conditions,)``.
        """
        return pd.Index(self.drugs).get_indexer(conditions["drug"])

    def features_of(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Features of each condition's drug.

        Parameters
        ----------
        conditions
            Column ``drug``.

        Returns
        -------
        Features, shape ``(n_conditions, n_features)``.
        """
        return self.features.loc[conditions["drug"]].to_numpy(dtype=float)


def true_edges(world: GenesWorld) -> NDArray[np.bool_]:
    """Read the true graph of a world.

    Parameters
    ----------
    world
        The world.

    Returns
    -------
    Whether parent → child, shape ``(n_nodes, n_nodes)``.
    """
    return np.asarray(world.truth["adjacency"]) != 0


def true_targets(world: GenesWorld, drugs: Sequence[str] | pd.Series) -> NDArray[np.bool_]:
    """Read the true targets of drugs.

    Parameters
    ----------
    world
        The world.
    drugs
        Names, repeated if need be.

    Returns
    -------
    Targets, shape ``(n_drugs, n_nodes)``.
    """
    table = pd.DataFrame(world.truth["targets"])
    return table.loc[list(drugs)].to_numpy(dtype=bool)


class GenesPredictor(ABC):
    """Something that predicts the mean expression of a condition of World G.

    Attributes
    ----------
    name
        Name in the tables of results.
    """

    name: str

    @abstractmethod
    def fit(self, screen: GenesScreen) -> None:
        """Learn from the training cells.

        Parameters
        ----------
        screen
            The training cells.
        """

    @abstractmethod
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

    def predict_targets(self, conditions: pd.DataFrame) -> NDArray[np.float64] | None:
        """Score each node as a target of each condition's drug; ``None`` where nothing is said.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.

        Returns
        -------
        Scores, shape ``(n_conditions, n_nodes)``.
        """
        del conditions
        return None

    def sample(self, conditions: pd.DataFrame, n_cells: int) -> NDArray[np.float64] | None:
        """Draw cells; ``None`` where there is no causal model.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.
        n_cells
            Cells per condition.

        Returns
        -------
        Standardised expression, shape ``(n_conditions, n_cells, n_nodes)``.
        """
        del conditions, n_cells
        return None

    def log_densities(
        self, conditions: pd.DataFrame, cells: NDArray[np.float64]
    ) -> LogDensities | None:
        """Log density of each node given its parents; ``None`` where there is no causal model.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.
        cells
            Standardised expression, shape ``(n_conditions, n_cells, n_nodes)``.

        Returns
        -------
        The densities without and with an intervention on the node, and how likely that is.
        """
        del conditions, cells
        return None


class LogDensities(NamedTuple):
    """Log density of every node given its parents, as :func:`~scgim.metrics.interventional_nll` takes.

    Attributes
    ----------
    without
        Were the node no target, shape ``(n_conditions * n_cells, n_nodes)``.
    targeted
        Were it a target, same shape.
    probability
        That it is one, same shape.
    """

    without: NDArray[np.float64]
    targeted: NDArray[np.float64]
    probability: NDArray[np.float64]


class GradientGraph(GenesPredictor):
    """The published optimiser: Gumbel edges under an acyclicity constraint, linear mechanisms."""

    name = "gradient (as published)"

    def __init__(self, settings: GradientSettings | None = None) -> None:
        self._settings = settings

    @property
    def model(self) -> GradientModel:
        """The fitted model."""
        return self._model

    def fit(self, screen: GenesScreen) -> None:
        """Learn from the training cells.

        Parameters
        ----------
        screen
            The training cells.
        """
        self._screen = screen
        self._model = fit_structure_by_gradient(screen.nodes, seed=0, settings=self._settings)

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
        return compute_linear_mean(self._model.mechanism, self._interventions(conditions))

    def sample(self, conditions: pd.DataFrame, n_cells: int) -> NDArray[np.float64]:
        """Draw cells.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.
        n_cells
            Cells per condition.

        Returns
        -------
        Standardised expression, shape ``(n_conditions, n_cells, n_nodes)``.
        """
        what, rng = self._interventions(conditions), np.random.default_rng(SAMPLE_SEED)
        return sample_nodes(self._model.mechanism, what, n_cells, rng)

    def log_densities(self, conditions: pd.DataFrame, cells: NDArray[np.float64]) -> LogDensities:
        """Log density of each node given its parents.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.
        cells
            Standardised expression, shape ``(n_conditions, n_cells, n_nodes)``.

        Returns
        -------
        The densities without and with an intervention on the node, and how likely that is.
        """
        what = self._interventions(conditions)
        without, targeted = compute_log_densities(self._model.mechanism, cells, what)
        probability = np.repeat(np.asarray(what.probability), cells.shape[1], axis=0)
        return LogDensities(without, targeted, probability)

    def _interventions(self, conditions: pd.DataFrame) -> Intervention:
        log10_dose = np.log10(conditions["dose"].to_numpy(dtype=float))
        return self._model.interventions(self._screen.features_of(conditions), log10_dose)

    def predict_targets(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Score targets by their probability.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.

        Returns
        -------
        Scores, shape ``(n_conditions, n_nodes)``.
        """
        return np.asarray(self._interventions(conditions).probability)
