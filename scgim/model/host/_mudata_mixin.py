from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS as SCVI_KEYS
from scvi.data.fields import (
    MuDataCategoricalJointObsField,
    MuDataCategoricalObsField,
    MuDataLayerField,
    MuDataWrapper,
)
from scvi.model.base import RNASeqMixin
from torch import Tensor

from scgim.data import (
    CovariateField,
    DoseField,
    ExpressionField,
    LabelField,
    PerturbationDirections,
    PerturbationField,
    ScreenManager,
    SizeFactorField,
)
from scgim.data._combinations import find_pairs, split_combination
from scgim.data._screen_checks import check_layer, check_screen
from scgim.model._cell_gate import remember
from scgim.model._parts import ModelParts
from scgim.model.host._mudata_checks import check_mudata, check_variables, features_of_modality
from scgim.module import get_likelihood

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scgim.data._perturbation_direction import Direction
    from scgim.module import Expression

# A tenth of a count keeps the start of a protein without counts finite.
PSEUDOCOUNT = 0.1
DEFAULT_MODALITIES = {"rna_layer": "rna", "protein_layer": "protein"}
MuDataCovariateField = MuDataWrapper(CovariateField)
MuDataSizeFactorField = MuDataWrapper(SizeFactorField)
MuDataExpressionField = MuDataWrapper(ExpressionField)
MuDataPerturbationField = MuDataWrapper(PerturbationField)
MuDataLabelField = MuDataWrapper(LabelField)
MuDataDoseField = MuDataWrapper(DoseField)


class MuDataMixin(ModelParts, RNASeqMixin):
    """Screens that measure proteins beside RNA: a second observation model of the same nodes."""

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        perturbation_key: str,
        control: str,
        *,
        modalities: Mapping[str, str] | None = None,
        rna_layer: str | None = None,
        protein_layer: str | None = None,
        dose_key: str | None = None,
        features_key: str | None = None,
        batch_key: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        continuous_covariate_keys: Sequence[str] | None = None,
        size_factor_key: str | None = None,
        perturbation_direction: Direction | Mapping[str, Direction] = "unknown",
        **kwargs: Any,
    ) -> None:
        """Declare a screen of RNA and protein, and check it.

        Nodes are read from both modalities and explain both. Columns are those of ``mdata.obs``;
        ``mdata.pull_obs()`` brings those of a modality there.

        Parameters
        ----------
        mdata
            Modalities with the same cells in the same order.
        perturbation_key
            Column of ``obs`` with the perturbation of each cell; combinations as ``"A+B"``.
        control
            Value of that column for control cells.
        modalities
            Names of the modalities with ``rna_layer`` and ``protein_layer``; ``"rna"`` and
            ``"protein"`` if not given.
        rna_layer
            Layer with raw counts of genes; ``X`` if not given.
        protein_layer
            Layer with counts of proteins (transformed values for
            ``protein_likelihood="normal"``); ``X`` if not given.
        dose_key
            Column of ``obs`` with doses, see :meth:`setup_anndata`.
        features_key
            Entry of ``mdata.uns`` with a DataFrame of perturbation features, or a modality of
            cells x features, the same for all cells of a perturbation.
        batch_key
            Column of ``obs`` with batches.
        categorical_covariate_keys
            Columns of ``obs`` with categorical covariates.
        continuous_covariate_keys
            Columns of ``obs`` with continuous covariates.
        size_factor_key
            Column of ``obs`` to use in place of the total counts of RNA.
        perturbation_direction
            What perturbations can do to the expression of their targets, see :meth:`setup_anndata`.
        **kwargs
            Passed on by scvi-tools when it loads or transfers a model.

        Raises
        ------
        ValueError
            Where modalities are not aligned, or labels, doses or features cannot be used.
        TypeError
            When ``mdata`` is no MuData.
        """
        categorical_covariate_keys = as_keys(categorical_covariate_keys)
        continuous_covariate_keys = as_keys(continuous_covariate_keys)
        modalities = dict(modalities or DEFAULT_MODALITIES)
        arguments = cls._get_setup_method_args(**locals())
        check_mudata(mdata, modalities)
        rna, protein = modalities["rna_layer"], modalities["protein_layer"]
        features = None
        if kwargs.get("source_registry") is None:
            check_layer(mdata.mod[rna].layers, rna_layer)
            check_layer(mdata.mod[protein].layers, protein_layer)
            features = check_screen(
                _as_screen(mdata, perturbation_key, features_key),
                perturbation_key=perturbation_key,
                control=control,
                dose_key=dose_key,
                features_key=features_key,
                other_keys=columns_by_argument(arguments["setup_args"]),
                program_mask_key=None,
                perturbation_direction=perturbation_direction,
            )
        elif kwargs.get("extend_categories"):
            features = _as_screen(mdata, perturbation_key, features_key).uns.get(features_key)
        fields = [
            MuDataExpressionField(SCVI_KEYS.X_KEY, rna_layer, is_count_data=False, mod_key=rna),
            MuDataLayerField(
                SCVI_KEYS.PROTEIN_EXP_KEY, protein_layer, is_count_data=False, mod_key=protein
            ),
            MuDataCategoricalObsField(SCVI_KEYS.BATCH_KEY, batch_key),
            MuDataPerturbationField(
                perturbation_key,
                str(control),
                features,
                dose_key,
                directions=PerturbationDirections.from_argument(perturbation_direction),
            ),
            MuDataLabelField(SCVI_KEYS.LABELS_KEY, perturbation_key),
            MuDataCategoricalJointObsField(SCVI_KEYS.CAT_COVS_KEY, categorical_covariate_keys),
            MuDataCovariateField(continuous_covariate_keys),
            MuDataSizeFactorField(size_factor_key, rna_layer, rna),
        ]
        if dose_key is not None:
            fields.append(MuDataDoseField(dose_key))
        manager = ScreenManager(fields=fields, setup_method_args=arguments)
        manager.register_fields(mdata, **kwargs)
        remember(manager)
        cls.register_manager(manager)

    @property
    def protein_names(self) -> list[str]:
        """Names of the proteins; none without a protein modality."""
        return self._names_of(SCVI_KEYS.PROTEIN_EXP_KEY)

    def get_protein_programs(self) -> pd.DataFrame:
        """Say what each node does to each protein.

        Returns
        -------
        Proteins x nodes, change of the log-rate (of the value for the normal likelihood) per unit
        of the node.
        """
        decoder = self.module.protein_decoder
        loadings = np.zeros((0, len(self.node_names_)))
        if decoder is not None:
            loadings = decoder.linear.programs.detach().cpu().numpy()
        return pd.DataFrame(loadings, index=self.protein_names, columns=self.node_names_)

    def get_var_names(self, legacy_mudata_format: bool = False) -> Any:
        """Names of the genes; for RNA and protein, names of the variables of each modality.

        Parameters
        ----------
        legacy_mudata_format
            Whether to give one array for all modalities.

        Returns
        -------
        Array, or dictionary of arrays by modality.
        """
        names = {SCVI_KEYS.X_KEY: self._names_of(SCVI_KEYS.X_KEY)}
        modalities = self.registry_["setup_args"].get("modalities")
        if modalities is None:
            return np.asarray(names[SCVI_KEYS.X_KEY], dtype=object)
        by_modality = {
            modalities["rna_layer"]: np.asarray(names[SCVI_KEYS.X_KEY], dtype=object),
            modalities["protein_layer"]: np.asarray(self.protein_names, dtype=object),
        }
        if legacy_mudata_format:
            return np.concatenate(list(by_modality.values()))
        return by_modality

    def get_normalized_expression(
        self, adata: AnnData | MuData | None = None, *args: Any, **kwargs: Any
    ) -> pd.DataFrame | np.ndarray:
        """Denoised expression of genes, see :meth:`scvi.model.SCVI.get_normalized_expression`.

        Parameters
        ----------
        adata
            Cells; those of training if not given.
        *args
            As in scvi-tools.
        **kwargs
            As in scvi-tools.

        Returns
        -------
        Cells x genes.
        """
        cells = self.adata if adata is None else adata
        if not isinstance(cells, MuData):
            return super().get_normalized_expression(adata, *args, **kwargs)
        as_array = kwargs.pop("return_numpy", False)
        genes, indices = kwargs.pop("gene_list", None), kwargs.get("indices")
        values = super().get_normalized_expression(adata, *args, return_numpy=True, **kwargs)
        if genes is not None:
            values = values[..., pd.Index(self._gene_names()).get_indexer(genes)]
        if as_array or values.ndim == 3:
            return values
        cell_names = cells.obs_names if indices is None else cells.obs_names[indices]
        return pd.DataFrame(
            values, index=cell_names, columns=self._gene_names() if genes is None else list(genes)
        )

    def _names_of(self, registry_key: str) -> list[str]:
        field = self.registry_["field_registries"].get(registry_key)
        return [] if field is None else list(field["state_registry"]["column_names"])

    def _gene_names(self) -> list[str]:
        return self._names_of(SCVI_KEYS.X_KEY)

    def _check_variables(self, cells: AnnData | MuData) -> None:
        check_variables(cells, self.get_var_names())

    def _protein_intercept(self) -> Tensor:
        """Mean of each protein on the scale of its decoder."""
        proteins = self.adata_manager.get_from_registry(SCVI_KEYS.PROTEIN_EXP_KEY)
        mean = np.asarray(proteins.mean(0), dtype=np.float64).ravel()
        if get_likelihood(self.protein_likelihood).is_count:
            mean = np.log(mean + PSEUDOCOUNT)
        return torch.tensor(mean, dtype=torch.float32)

    @torch.inference_mode()
    def _predict_proteins(
        self, nodes: Tensor, covariates: Tensor | None, output: str, seed: int
    ) -> np.ndarray:
        """Give expected or sampled proteins of cells with given nodes, cells x proteins."""
        decoder = self.module.protein_decoder
        expression: Expression = decoder(nodes, covariates)
        if output == "normalized":
            values: np.ndarray = decoder.likelihood.scale(expression.log_scale).cpu().numpy()
            return values
        devices = [nodes.device] if nodes.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            sampled: Tensor = decoder.likelihood.distribution(expression).sample()
        return sampled.cpu().numpy()


def as_keys(keys: Sequence[str] | str | None) -> list[str] | None:
    """Columns as a list, of which one may come as plain text.

    Parameters
    ----------
    keys
        What the user passed.

    Returns
    -------
    The columns, or ``None``.
    """
    if keys is None:
        return None
    return [keys] if isinstance(keys, str) else list(keys)


def columns_by_argument(arguments: dict[str, Any]) -> dict[str, list[str]]:
    """Columns of ``obs`` that a set-up names beside those of perturbation and dose.

    Parameters
    ----------
    arguments
        Arguments of the set-up.

    Returns
    -------
    Columns, by the argument that names them.
    """
    names = (
        "batch_key",
        "size_factor_key",
        "categorical_covariate_keys",
        "continuous_covariate_keys",
    )
    columns = {name: arguments[name] or [] for name in names}
    return {name: [keys] if isinstance(keys, str) else list(keys) for name, keys in columns.items()}


def _as_screen(mdata: MuData, perturbation_key: str, features_key: str | None) -> AnnData:
    """Columns and features of all modalities, without their values."""
    obs = mdata.obs.copy()
    uns = {key: value for key, value in mdata.uns.items() if isinstance(value, pd.DataFrame)}
    if features_key is not None and features_key in mdata.mod and perturbation_key in obs:
        modality = mdata.mod[features_key]
        features = features_of_modality(modality, obs[perturbation_key], features_key)
        # Cells of a combination have features too, but it is predicted from its parts.
        single = {name for name in features.index if len(split_combination(name)) == 1}
        uns[features_key] = features.drop(index=find_pairs(features.index, single))
    return AnnData(obs=obs, uns=uns)
