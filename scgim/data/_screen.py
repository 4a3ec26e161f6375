from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS as SCVI_KEYS

from scgim._constants import REGISTRY_KEYS
from scgim.data._doses import distinct_doses
from scgim.data._perturbation_direction import PerturbationDirections
from scgim.data._perturbation_table import PerturbationTable

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Screen:
    """What the registry knows of a screen: enough to predict without the AnnData.

    Attributes
    ----------
    table
        Perturbations, combinations and features.
    conditions
        Conditions that were run: ``perturbation, dose, n_cells``; ``dose`` is NaN without doses.
    perturbation_key
        Column of ``obs`` with perturbations.
    dose_key
        Column of ``obs`` with doses, or ``None``.
    batch_key
        Column of ``obs`` with batches, or ``None``.
    batches
        Batches in the order of their codes.
    categorical_covariates
        Categories of each categorical covariate, in the order of their codes.
    continuous_covariates
        Columns of ``obs`` with continuous covariates.
    program_mask
        Which gene may belong to which program, genes x programs, or ``None``.
    mapped_conditions
        Conditions on which a trained model was mapped afterwards, as ``conditions``; none before.
    directions
        What the user said that perturbations can do to their targets.
    continuous_scaling
        Mean and standard deviation by which each continuous covariate is standardised.
    """

    table: PerturbationTable
    conditions: pd.DataFrame
    perturbation_key: str
    dose_key: str | None
    batch_key: str | None
    batches: tuple[object, ...]
    categorical_covariates: dict[str, tuple[object, ...]]
    continuous_covariates: tuple[str, ...]
    program_mask: pd.DataFrame | None
    mapped_conditions: pd.DataFrame | None = None
    directions: PerturbationDirections = field(default_factory=PerturbationDirections)
    continuous_scaling: tuple[tuple[float, float], ...] = ()

    @classmethod
    def from_registry(cls, registry: dict) -> Screen:
        """Read the registry of a model.

        Parameters
        ----------
        registry
            ``model.registry_``.

        Returns
        -------
        The screen.
        """
        fields = registry["field_registries"]
        state = fields[REGISTRY_KEYS.PERTURBATION]["state_registry"]
        arguments = registry["setup_args"]
        batch = fields[SCVI_KEYS.BATCH_KEY]["state_registry"]
        categorical = fields.get(SCVI_KEYS.CAT_COVS_KEY, {}).get("state_registry", {})
        continuous = fields.get(SCVI_KEYS.CONT_COVS_KEY, {}).get("state_registry", {})
        return cls(
            table=PerturbationTable.from_registry(state["categorical_mapping"], state),
            conditions=pd.DataFrame(state["conditions"]),
            perturbation_key=arguments["perturbation_key"],
            dose_key=arguments["dose_key"],
            batch_key=arguments["batch_key"],
            batches=tuple(batch["categorical_mapping"]),
            categorical_covariates={
                key: tuple(categories)
                for key, categories in categorical.get("mappings", {}).items()
            },
            continuous_covariates=tuple(continuous.get("columns", ())),
            program_mask=_program_mask(state),
            mapped_conditions=_mapped_conditions(state),
            directions=PerturbationDirections.from_registry(state),
            continuous_scaling=_scaling(continuous),
        )

    @cached_property
    def treated_doses(self) -> np.ndarray:
        """Sorted distinct doses of perturbed cells; empty without doses."""
        doses = distinct_doses(self.conditions.dose.to_numpy(np.float64))
        return doses[doses > 0]

    @cached_property
    def all_conditions(self) -> pd.DataFrame:
        """Conditions that were run, and those on which the model was mapped."""
        return pd.concat([self.conditions, self.mapped_conditions], ignore_index=True)

    @property
    def n_cells(self) -> int:
        """Cells to train on: those of the mapping where there is one, else those of the screen."""
        mapped = self.mapped_conditions
        return int((self.conditions if mapped is None else mapped).n_cells.sum())

    @cached_property
    def feature_blocks(self) -> np.ndarray:
        """Block of each feature column: columns that share the text before a ``:`` belong together.

        Shape ``(n_features,)``.
        """
        assert self.table.features is not None
        return self.blocks_of(list(self.table.features.columns))

    def blocks_of(self, names: list[str]) -> np.ndarray:
        """Block of feature columns by their name, numbered alike for all columns.

        Parameters
        ----------
        names
            Columns of the features, or bits that are constant in training.

        Returns
        -------
        Shape ``(len(names),)``.
        """
        table = self.table
        tables = [t for t in (table.features, table.constant_bits) if t is not None]
        known = sorted({_block_name(name) for t in tables for name in t.columns})
        return np.array([known.index(_block_name(name)) for name in names], dtype=np.int64)

    @property
    def seen_features(self) -> np.ndarray | None:
        """Features of the seen perturbations, shape ``(n_perturbations, n_features)``."""
        if self.table.features is None:
            return None
        return self.table.features.loc[list(self.table.perturbations)].to_numpy(np.float64)

    def dose_range(self, perturbation: str) -> tuple[float, float]:
        """Lowest and highest dose that was run of a perturbation, alone or in combination.

        Parameters
        ----------
        perturbation
            Name of one perturbation.

        Returns
        -------
        The range over all perturbations if this one was not run; NaN without doses.
        """
        if len(self.treated_doses) == 0:
            return np.nan, np.nan
        row = self.table.perturbations.index(perturbation) if self.is_seen(perturbation) else None
        doses = self.treated_doses
        if row is not None:
            labels = [
                label
                for label, parts in zip(self.table.labels, self.table.components, strict=True)
                if row in parts
            ]
            conditions = self.all_conditions
            doses = conditions.dose[conditions.perturbation.isin(labels)].to_numpy()
        return float(doses.min()), float(doses.max())

    def is_seen(self, perturbation: str) -> bool:
        """Whether a perturbation was run."""
        return perturbation in self.table.perturbations


def _program_mask(state: dict) -> pd.DataFrame | None:
    if state["program_mask"] is None:
        return None
    return pd.DataFrame(state["program_mask"], columns=state["program_names"])


def number_blocks(columns: Iterable[str]) -> np.ndarray:
    """Block of each feature column: columns that share the text before a ``:`` belong together.

    Parameters
    ----------
    columns
        Names of the columns.

    Returns
    -------
    Numbers from 0, shape ``(n_features,)``.
    """
    return np.unique([_block_name(str(name)) for name in columns], return_inverse=True)[1]


def _block_name(column: str) -> str:
    """Text before the colon of a feature column."""
    return column.split(":", 1)[0] if ":" in column else ""


def _scaling(continuous: dict) -> tuple[tuple[float, float], ...]:
    """Scaling of each continuous covariate; models of 0.1.0 have none."""
    n_columns = len(continuous.get("columns", ()))
    center = continuous.get("center", np.zeros(n_columns))
    scale = continuous.get("scale", np.ones(n_columns))
    return tuple((float(c), float(s)) for c, s in zip(center, scale, strict=True))


def _mapped_conditions(state: dict) -> pd.DataFrame | None:
    mapped = state.get("mapped_conditions")
    return None if mapped is None else pd.DataFrame(mapped)
