from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS as SCVI_KEYS
from scvi.data._utils import _get_adata_minify_type
from scvi.data.fields import (
    CategoricalObsField,
    LayerField,
    NumericalJointObsField,
    NumericalObsField,
)

from scgim._constants import REGISTRY_KEYS
from scgim.data._doses import read_doses
from scgim.data._expression_blocks import sum_expression
from scgim.data._expression_space import describe_space
from scgim.data._feature_checks import split_constants
from scgim.data._perturbation_direction import PerturbationDirections
from scgim.data._perturbation_table import PerturbationTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData

SAME_SCALE = 1e-6


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


class TextField(CategoricalObsField):
    """Labels of cells as text, whatever type their column has; categories without a cell are none."""

    def register_field(self, adata: AnnData) -> dict:
        """Register the labels that cells have."""
        with self._text_in(adata):
            state: dict = super().register_field(adata)
        return state

    def transfer_field(
        self,
        state_registry: dict,
        adata_target: AnnData,
        extend_categories: bool | None = False,
        **kwargs: object,
    ) -> dict:
        """Read labels as text here too."""
        with self._text_in(adata_target):
            state: dict = super().transfer_field(
                state_registry, adata_target, extend_categories=bool(extend_categories), **kwargs
            )
        return state

    @contextmanager
    def _text_in(self, adata: AnnData) -> Iterator[None]:
        """Lend scvi-tools the labels as text, under the key where it looks for them."""
        column = adata.obs[self._original_attr_key]
        adata.obs[self._original_attr_key] = as_text(column)
        try:
            yield
        finally:
            adata.obs[self._original_attr_key] = column


class LabelField(TextField):
    """Labels of cells among which new ones may appear later.

    Tools of scvi-tools that group cells, such as its criticism report, look for the labels of a
    screen under :attr:`scvi.REGISTRY_KEYS.LABELS_KEY`.
    """

    def transfer_field(
        self,
        state_registry: dict,
        adata_target: AnnData,
        extend_categories: bool | None = True,
        **kwargs: object,
    ) -> dict:
        """Accept cells with labels that training did not see."""
        state: dict = super().transfer_field(
            state_registry, adata_target, extend_categories=extend_categories, **kwargs
        )
        return state


class PerturbationField(TextField):
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
    directions
        What perturbations can do to their targets; all unknown if not given.
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
        directions: PerturbationDirections | None = None,
    ) -> None:
        super().__init__(REGISTRY_KEYS.PERTURBATION, perturbation_key)
        self._perturbation_key = perturbation_key
        self._control = control
        self._features = features
        self._dose_key = dose_key
        self._program_mask_key = program_mask_key
        self._directions = directions or PerturbationDirections()

    def register_field(self, adata: AnnData) -> dict:
        """Register labels, features and the conditions that were run."""
        state = super().register_field(adata)
        labels = state[self.CATEGORICAL_MAPPING_KEY]
        seen = PerturbationTable.from_labels(labels, self._control, self._features).perturbations
        features, bits = split_constants(self._features, seen)
        table = PerturbationTable.from_labels(labels, self._control, features, (), bits)
        conditions = count_conditions(adata.obs, self._perturbation_key, self._dose_key)
        return {
            **state,
            **table.to_registry(),
            self.CONDITIONS_KEY: {name: col.to_numpy() for name, col in conditions.items()},
            **self._directions.to_registry(),
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


class StoredObsField(NumericalObsField):
    """Numbers of cells that are stored beside their column, in the form in which a model reads them.

    Parameters
    ----------
    registry_key
        Key of the field.
    key
        Column of ``obs``, or ``None``.
    """

    def __init__(self, registry_key: str, key: str | None) -> None:
        super().__init__(registry_key, key, required=False)
        self._source_key = key
        if key is not None:
            self._attr_key = f"_scvi_{registry_key}"

    def validate_field(self, adata: AnnData) -> None:
        """Look for the column that is read, not for the one that is written."""
        if self._source_key not in adata.obs:
            message = f"{self._source_key} not found in adata.obs."
            raise KeyError(message)


class DoseField(StoredObsField):
    """Dose of each cell; zero for control cells.

    Parameters
    ----------
    dose_key
        Column of ``obs`` with doses.
    """

    def __init__(self, dose_key: str) -> None:
        super().__init__(REGISTRY_KEYS.DOSE, dose_key)

    def register_field(self, adata: AnnData) -> dict:
        """Store doses so that those which are the same are equal."""
        state: dict = super().register_field(adata)
        adata.obs[self.attr_key] = read_doses(adata.obs[self._source_key])
        return state


class SizeFactorField(StoredObsField):
    """Size factor of each cell, brought to the scale of total counts.

    Size factors of scran or DESeq have the mean 1, others are totals; only their ratios between
    cells mean something. The scale is that at which they sum to the counts of training.

    Parameters
    ----------
    size_factor_key
        Column of ``obs`` with size factors, or ``None``.
    layer
        Layer with the counts; ``X`` if not given.
    modality
        Modality with the counts, or ``None``.
    """

    SCALE_KEY = "scale"

    def __init__(
        self, size_factor_key: str | None, layer: str | None, modality: str | None = None
    ) -> None:
        super().__init__(SCVI_KEYS.SIZE_FACTOR_KEY, size_factor_key)
        self._layer = layer
        self._modality = modality

    def register_field(self, adata: AnnData) -> dict:
        """Register the size factors and their scale."""
        factors = adata.obs[self._source_key].to_numpy(np.float64)
        return self._store(adata, self._scale_of(adata, factors))

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **_: object) -> dict:
        """Scale new cells as those of training; models of 0.1.0 had no scale."""
        return self._store(adata_target, float(state_registry.get(self.SCALE_KEY, 1.0)))

    def _store(self, adata: AnnData, scale: float) -> dict:
        self.validate_field(adata)
        adata.obs[self.attr_key] = adata.obs[self._source_key].to_numpy(np.float64) * scale
        return {self.SCALE_KEY: scale}

    def _scale_of(self, adata: AnnData, factors: np.ndarray) -> float:
        cells = adata if self._modality is None else adata.mod[self._modality]
        expression = cells.X if self._layer is None else cells.layers[self._layer]
        total = float(sum_expression(expression)[1].sum())
        ratio = total / float(factors.sum())
        # Totals are left as they are to the last digit, and expression without totals too.
        return ratio if ratio > 0 and abs(ratio - 1) > SAME_SCALE else 1.0


class CovariateField(NumericalJointObsField):
    """Continuous covariates, standardised over the cells of training.

    Parameters
    ----------
    keys
        Columns of ``obs``, or ``None``.
    """

    CENTER_KEY, SCALE_KEY = "center", "scale"

    def __init__(self, keys: Sequence[str] | None) -> None:
        super().__init__(SCVI_KEYS.CONT_COVS_KEY, None if keys is None else list(keys))

    def register_field(self, adata: AnnData) -> dict:
        """Register the covariates and their scaling."""
        values = adata.obs[self.attr_keys].to_numpy(np.float64)
        spread = values.std(axis=0)
        # What differs by less than the rounding of its own size is constant.
        is_constant = spread <= np.finfo(np.float64).eps * 10 * np.abs(values).max(axis=0)
        center = np.where(is_constant, values[0], values.mean(axis=0))
        return self._store(adata, center, np.where(is_constant, 1.0, spread))

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **_: object) -> dict:
        """Scale new cells as those of training; models of 0.1.0 were not scaled."""
        n_columns = len(self.attr_keys)
        center = state_registry.get(self.CENTER_KEY, np.zeros(n_columns))
        scale = state_registry.get(self.SCALE_KEY, np.ones(n_columns))
        return self._store(adata_target, np.asarray(center), np.asarray(scale))

    def _store(self, adata: AnnData, center: np.ndarray, scale: np.ndarray) -> dict:
        state: dict = super().register_field(adata)
        values = (adata.obs[self.attr_keys].to_numpy(np.float64) - center) / scale
        adata.obsm[self.attr_key] = pd.DataFrame(values, adata.obs_names, self.attr_keys)
        return {**state, self.CENTER_KEY: center, self.SCALE_KEY: scale}


def as_text(labels: pd.Series) -> pd.Series:
    """Labels as categories of text, in the order they had, those without a cell left out.

    Parameters
    ----------
    labels
        Column of any type.

    Returns
    -------
    The labels.
    """
    if isinstance(labels.dtype, pd.CategoricalDtype):
        used = labels.cat.remove_unused_categories()
        names = used.cat.categories.map(str)
        if names.is_unique:
            return used.cat.rename_categories(list(names))
    return labels.astype(str).astype("category")


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
            "dose": np.nan if dose_key is None else read_doses(obs[dose_key]),
        }
    )
    return (
        frame.groupby(["perturbation", "dose"], dropna=False).size().rename("n_cells").reset_index()
    )
