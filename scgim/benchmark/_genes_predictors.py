"""Predictors of World G: the causal model of named genes, its oracle, and baselines without one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch

from scgim.scm import (
    GradientModel,
    GradientSettings,
    NamedNodeModel,
    NamedNodeScreen,
    PriorKnowledge,
    compute_linear_mean,
    compute_sufficient_statistics,
    find_structure,
    fit_named_nodes,
    fit_structure_by_gradient,
)
from scgim.spaces._mechanism_choice import find_mechanism

if TYPE_CHECKING:
    from collections.abc import Sequence

    import anndata as ad
    from numpy.typing import NDArray

    from scgim.datasets import GenesWorld
    from scgim.scm import Intervention, Mechanism, SearchSettings


class GenesScreen(NamedTuple):
    """A screen of World G as arrays.

    Attributes
    ----------
    nodes
        Cells and conditions.
    drugs
        Names of the training drugs, in the order of their codes.
    features
        Features of all drugs, seen and unseen.
    """

    nodes: NamedNodeScreen
    drugs: list[str]
    features: pd.DataFrame

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
        return cls(nodes, drugs, features)

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

    def predict_interventions(
        self, conditions: pd.DataFrame
    ) -> tuple[Mechanism, Intervention] | None:
        """Predict mechanisms and interventions; ``None`` where there is no causal model.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.

        Returns
        -------
        Mechanisms, and one intervention per condition.
        """
        del conditions
        return None


class SearchedGraph(GenesPredictor):
    """The causal model of named genes: searched graph and targets, then fitted.

    Parameters
    ----------
    world
        The world, for its kind of mechanisms; the oracle also takes graph and targets from it.
    settings
        How to search.
    is_oracle
        Whether true graph and targets are given.
    """

    def __init__(
        self, world: GenesWorld, settings: SearchSettings, *, is_oracle: bool = False
    ) -> None:
        self.name = "oracle graph and targets" if is_oracle else "search"
        self._world = world
        self._settings = settings
        self._is_oracle = is_oracle

    @property
    def model(self) -> NamedNodeModel:
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
        graph, prior = None, None
        if self._is_oracle:
            graph = true_edges(self._world)
            prior = PriorKnowledge.none(screen.nodes.n_nodes, screen.nodes.n_perturbations)
            prior.targets[:] = true_targets(self._world, screen.drugs)
        rng, nodes = np.random.default_rng(0), screen.nodes
        mechanism = find_mechanism(self._world.mechanism)(nodes.n_nodes).double()
        statistics = compute_sufficient_statistics(
            nodes.values, nodes.condition, nodes.perturbation, is_linear=mechanism.is_linear
        )
        structure = find_structure(
            statistics, rng, settings=self._settings, prior=prior, graph=graph
        )
        scatter = statistics.within.sum(axis=-1)[: nodes.n_nodes, : nodes.n_nodes]
        known = None if prior is None else prior.targets
        self._model = fit_named_nodes(
            nodes, structure, mechanism, rng, scatter=scatter, known_targets=known
        ).model

    def predict_mean(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Predict mean standardised expression.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``; seen drugs, or unseen ones, not both.

        Returns
        -------
        Means, shape ``(n_conditions, n_nodes)``.
        """
        what = self._interventions(conditions)
        return self._model.mean(what, np.random.default_rng(1))

    def predict_interventions(self, conditions: pd.DataFrame) -> tuple[Mechanism, Intervention]:
        """Predict mechanisms and interventions.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``; seen drugs, or unseen ones, not both.

        Returns
        -------
        Mechanisms, and one intervention per condition.
        """
        return self._model.mechanism, self._interventions(conditions)

    def _interventions(self, conditions: pd.DataFrame) -> Intervention:
        log10_dose = np.log10(conditions["dose"].to_numpy(dtype=float))
        code = self._screen.codes(conditions)
        if (code >= 0).all():
            return self._model.seen(code, log10_dose)
        what = self._model.unseen(self._screen.features_of(conditions), log10_dose)
        if self._is_oracle:
            targets = true_targets(self._world, conditions["drug"])
            what = replace(what, probability=torch.tensor(targets, dtype=torch.float64))
        return what

    def predict_targets(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Score targets: evidence for seen drugs, predicted probability for unseen ones.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``; seen drugs, or unseen ones, not both.

        Returns
        -------
        Scores, shape ``(n_conditions, n_nodes)``.
        """
        code = self._screen.codes(conditions)
        if (code >= 0).all():
            return self._model.structure.target_evidence[code]
        log10_dose = np.log10(conditions["dose"].to_numpy(dtype=float))
        features = self._screen.features_of(conditions)
        return np.asarray(self._model.unseen(features, log10_dose).probability)


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

    def predict_interventions(self, conditions: pd.DataFrame) -> tuple[Mechanism, Intervention]:
        """Predict mechanisms and interventions.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.

        Returns
        -------
        Mechanisms, and one intervention per condition.
        """
        return self._model.mechanism, self._interventions(conditions)

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
