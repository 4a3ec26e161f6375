"""The model of named genes as a predictor of World G, and its oracle."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from scgim.benchmark._genes_predictors import (
    SAMPLE_SEED,
    GenesPredictor,
    GenesScreen,
    LogDensities,
    true_edges,
    true_targets,
)
from scgim.benchmark._named_genes import to_array, train_named_genes
from scgim.model import GraphSearch
from scgim.scm import SparseInterventions, compute_log_densities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scgim.datasets import GenesWorld
    from scgim.model import GIM
    from scgim.scm import SearchSettings

CONTROL = "vehicle"
SETUP = {
    "perturbation_key": "drug",
    "control": CONTROL,
    "dose_key": "dose",
    "features_key": "drug_features",
}
N_CELLS_FOR_MEAN = 1000
# Leaves an error of .02 in the mean of 20 nodes, where the sampling of the true means leaves .14.
N_CELLS_OF_CONTROL = 50_000


class TrainedGenes(GenesPredictor):
    """:class:`~scgim.model.GIM` as a user trains and asks it, ``causal_space="genes"``.

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
    def model(self) -> GIM:
        """The trained model."""
        return self._model

    def fit(self, screen: GenesScreen) -> None:
        """Learn from the training cells.

        Parameters
        ----------
        screen
            The training cells.
        """
        options = asdict(self._settings)
        intervention = options.pop("kind")
        search = GraphSearch(**options)
        if self._is_oracle:
            search = replace(search, **_truth_of(self._world, screen.drugs))
        self._model = train_named_genes(
            screen.cells,
            SETUP,
            {
                "gene_likelihood": "normal",
                "mechanism": self._world.mechanism,
                "intervention": intervention,
                "structure": "given" if self._is_oracle else "search",
            },
            search=search,
        )
        # What the model makes of unperturbed cells: all cells tell about it, not the control alone.
        control = pd.DataFrame({"drug": [CONTROL], "dose": [0.0]})
        self._control = self.sample(control, N_CELLS_OF_CONTROL).mean(axis=1)

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
        if self._is_oracle and not self._are_seen(conditions):
            return self.sample(conditions, N_CELLS_FOR_MEAN).mean(axis=1)
        return self._control + self._model.predict_shift(_asked(conditions)).X

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
        if self._is_oracle and not self._are_seen(conditions):
            return self._sample_known(conditions, n_cells)
        cells = self._model.predict(_asked(conditions), n_cells=n_cells, seed=SAMPLE_SEED)
        return np.asarray(cells.X, dtype=float).reshape(len(conditions), n_cells, -1)

    def log_densities(self, conditions: pd.DataFrame, cells: NDArray[np.float64]) -> LogDensities:
        """Log density of each node given its parents, by the mechanisms that predict.

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
        module, believed = self._model.module, self._believed(conditions)
        surely = replace(believed, probability=np.ones_like(believed.probability))
        log10_dose = np.log10(conditions["dose"].to_numpy(dtype=float))
        nodes = ((torch.as_tensor(cells).double() - module.center) / module.scale).numpy()
        densities = compute_log_densities(module.mechanism, nodes, surely.mean(log10_dose))
        without, targeted = (density - module.scale.log().numpy() for density in densities)
        probability = np.repeat(believed.probability, nodes.shape[1], axis=0)
        return LogDensities(without, targeted, probability)

    def predict_targets(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Score targets by the evidence of :meth:`GIM.get_intervention_targets`.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``.

        Returns
        -------
        Scores, shape ``(n_conditions, n_nodes)``.
        """
        names = conditions["drug"].unique().tolist()
        evidence = to_array(
            self._model.get_intervention_targets(names), "evidence", names, self._world.gene_names
        )
        return evidence[pd.Index(names).get_indexer(conditions["drug"])]

    def _are_seen(self, conditions: pd.DataFrame) -> bool:
        return all(
            drug == CONTROL or self._model.screen.is_seen(drug) for drug in conditions["drug"]
        )

    def _believed(self, conditions: pd.DataFrame) -> SparseInterventions:
        """Distribution over interventions, one entry per condition; true targets for the oracle."""
        names = conditions["drug"].astype(str).tolist()
        believed = self._model.fitted.interventions_of(names, None)
        assert isinstance(believed, SparseInterventions)
        if self._is_oracle and not self._are_seen(conditions):
            truth = true_targets(self._world, names).astype(float)
            believed = replace(believed, probability=truth)
        return believed

    def _sample_known(self, conditions: pd.DataFrame, n_cells: int) -> NDArray[np.float64]:
        """Draw cells under interventions whose targets are known."""
        module = self._model.module
        log10_dose = np.log10(conditions["dose"].to_numpy(dtype=float))
        what = self._believed(conditions).mean(log10_dose)
        what = what.map(lambda values: values[:, None])
        rng = np.random.default_rng(SAMPLE_SEED)
        noise = rng.standard_normal((len(conditions), n_cells, what.shift.shape[-1]))
        noise -= noise.mean(axis=1, keepdims=True)
        nodes = module.mechanism.simulate(torch.as_tensor(noise), what)
        return np.asarray(module.center + module.scale * nodes, dtype=float)


def _truth_of(world: GenesWorld, drugs: Sequence[str]) -> dict[str, Any]:
    """Graph and targets of a world, in the words of :class:`~scgim.model.GraphSearch`."""
    genes = np.array(world.gene_names)
    parent, child = np.nonzero(true_edges(world))
    targets = true_targets(world, drugs)
    return {
        "required": list(zip(genes[parent], genes[child], strict=True)),
        "known_targets": {
            drug: genes[row].tolist() for drug, row in zip(drugs, targets, strict=True)
        },
        "has_off_targets": False,
    }


def _asked(conditions: pd.DataFrame) -> pd.DataFrame:
    return conditions[["drug", "dose"]].reset_index(drop=True)
