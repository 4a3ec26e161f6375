from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scvi.data._utils import _get_adata_minify_type
from scvi.data.fields import CategoricalObsField, LayerField, NumericalObsField

from scgim._constants import REGISTRY_KEYS
from scgim.data._expression_space import describe_space
from scgim.data._perturbation_table import PerturbationTable

if TYPE_CHECKING:
    from anndata import AnnData


class ExpressionField(LayerField):
    """Expression of each cell, and in which space it was at set-up."""

    SPACE_KEY = "expression_space"

    def register_field(self, adata: AnnData) -> dict:
        """Register the expression and describe its space."""
        state: dict = super().register_field(adata)
        if not adata.n_obs or _get_adata_minify_type(adata) is not None:
            return state
        return {**state, self.SPACE_KEY: describe_space(self.get_field_data(adata))}

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **kwargs: object) -> dict:
        """Accept cells with the same genes; the space stays that of training."""
        state: dict = super().transfer_field(state_registry, adata_target, **kwargs)
        state.pop(self.SPACE_KEY, None)
        known = {key: state_registry[key] for key in (self.SPACE_KEY,) if key in state_registry}
        return {**state, **known}


class LabelField(CategoricalObsField):
    """Labels of cells among which new ones may appear later.

    Tools of scvi-tools that group cells, such as its criticism report, look for the labels of a
    screen under :attr:`scvi.REGISTRY_KEYS.LABELS_KEY`.
    """

    def transfer_field(
        self,
        state_registry: dict,
        adata_target: AnnData,
        extend_categories: bool = True,
        **kwargs: object,
    ) -> dict:
        """Accept cells with labels that training did not see."""
        state: dict = super().transfer_field(
            state_registry, adata_target, extend_categories=extend_categories, **kwargs
        )
        return state


class PerturbationField(CategoricalObsField):
    """Perturbation of each cell as one code; its features live once in the registry.

    Parameters
    ----------
    perturbation_key
        Column of ``obs`` with perturbation labels.
    control
        Label of the control cells.
    features
        Perturbation features indexed by perturbation, or ``None``.
    dose_key
        Column of ``obs`` with doses, or ``None``.
    program_mask_key
        Entry of ``varm`` with a DataFrame genes x programs of 0 and 1, or ``None``.
    """

    CONDITIONS_KEY = "conditions"
    MAPPED_CONDITIONS_KEY = "mapped_conditions"
    PROGRAM_MASK_KEY = "program_mask"
    PROGRAM_NAMES_KEY = "program_names"

    def __init__(
        self,
        perturbation_key: str,
        control: str,
        features: pd.DataFrame | None,
        dose_key: str | None,
        program_mask_key: str | None = None,
    ) -> None:
        super().__init__(REGISTRY_KEYS.PERTURBATION, perturbation_key)
        self._perturbation_key = perturbation_key
        self._control = control
        self._features = features
        self._dose_key = dose_key
        self._program_mask_key = program_mask_key

    def register_field(self, adata: AnnData) -> dict:
        """Register labels, features and the conditions that were run."""
        state = super().register_field(adata)
        table = PerturbationTable.from_labels(
            state[self.CATEGORICAL_MAPPING_KEY], self._control, self._features
        )
        conditions = count_conditions(adata.obs, self._perturbation_key, self._dose_key)
        return {
            **state,
            **table.to_registry(),
            self.CONDITIONS_KEY: {name: col.to_numpy() for name, col in conditions.items()},
            **self._read_program_mask(adata),
        }

    def _read_program_mask(self, adata: AnnData) -> dict:
        if self._program_mask_key is None:
            return {self.PROGRAM_MASK_KEY: None, self.PROGRAM_NAMES_KEY: None}
        mask = adata.varm[self._program_mask_key]
        return {
            self.PROGRAM_MASK_KEY: mask.to_numpy(np.float32),
            self.PROGRAM_NAMES_KEY: [str(name) for name in mask.columns],
        }

    def transfer_field(
        self,
        state_registry: dict,
        adata_target: AnnData,
        extend_categories: bool | None = None,
        **kwargs: object,
    ) -> dict:
        """Accept cells under perturbations that training did not see.

        They can always be encoded. When a model is mapped on them (``extend_categories``), their
        perturbations, features and conditions are added to those of the screen.
        """
        state = super().transfer_field(
            state_registry, adata_target, extend_categories=True, **kwargs
        )
        state = {**state_registry, **state}
        if not extend_categories:
            return state
        table = PerturbationTable.from_registry(state[self.CATEGORICAL_MAPPING_KEY], state)
        table = table.with_features(self._features)
        conditions = count_conditions(adata_target.obs, self._perturbation_key, self._dose_key)
        mapped = {name: column.to_numpy() for name, column in conditions.items()}
        return {**state, **table.to_registry(), self.MAPPED_CONDITIONS_KEY: mapped}


class DoseField(NumericalObsField):
    """Dose of each cell; zero for control cells.

    Parameters
    ----------
    dose_key
        Column of ``obs`` with doses.
    """

    def __init__(self, dose_key: str) -> None:
        super().__init__(REGISTRY_KEYS.DOSE, dose_key)


def count_conditions(
    obs: pd.DataFrame, perturbation_key: str, dose_key: str | None
) -> pd.DataFrame:
    """Count the cells of each condition.

    Parameters
    ----------
    obs
        Cells.
    perturbation_key
        Column with perturbation labels.
    dose_key
        Column with doses, or ``None``.

    Returns
    -------
    One row per condition: ``perturbation, dose, n_cells``. Without a dose column, ``dose`` is
    NaN.
    """
    frame = pd.DataFrame(
        {
            "perturbation": obs[perturbation_key].astype(str).to_numpy(),
            "dose": np.nan if dose_key is None else obs[dose_key].to_numpy(np.float64),
        }
    )
    return (
        frame.groupby(["perturbation", "dose"], dropna=False).size().rename("n_cells").reset_index()
    )
