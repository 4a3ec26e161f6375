from __future__ import annotations

import os
from copy import deepcopy
from typing import TYPE_CHECKING, Self

from scvi.model._utils import parse_device_args
from scvi.model.base import ArchesMixin
from scvi.model.base._save_load import _initialize_model

from scgim.data._spelling import check_spelling
from scgim.model._cell_gate import check_given_cells
from scgim.model._parts import ModelParts
from scgim.model.host._query_checks import (
    check_query_columns,
    check_query_covariates,
    check_query_features,
    check_query_labels,
    check_reference,
)
from scgim.module import grow_state, learn_only_new

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scgim.data import Screen


class QueryMixin(ModelParts, ArchesMixin):
    """Mapping of a trained model on new cells: new batches, new perturbations, new doses."""

    @classmethod
    def load_query_data(
        cls,
        adata: AnnData | MuData,
        reference_model: str | os.PathLike[str] | Self,
        *,
        unfrozen: bool = False,
        safe: bool = True,
        accelerator: str = "auto",
        device: int | str = "auto",
    ) -> Self:
        """Map a trained model on new cells, and let it learn only what is new in them.

        Graph, gene programs and known perturbations stay as they were learned; call
        :meth:`train` on the result to learn the offsets of new batches and the rows of new
        perturbations. The interventions are then estimated from the cells of training and the
        new ones together. Without anything new the model can be used at once.

        Follows :meth:`scvi.model.base.ArchesMixin.load_query_data`, which knows neither
        perturbations nor their features.

        Parameters
        ----------
        adata
            New cells, with the genes and columns of training. Features of perturbations that
            are not in the table of training are read from the same entry of ``uns``.
        reference_model
            Trained model, or the folder of one.
        unfrozen
            Whether everything may learn.
        safe
            Whether to refuse a folder whose model could run code, see :meth:`load`.
        accelerator
            ``"cpu"``, ``"gpu"`` or ``"auto"``.
        device
            Device to use.

        Returns
        -------
        A new model; the reference is not changed.

        Raises
        ------
        ValueError
            When genes, columns or features are missing, or a covariate has new categories.
        """
        reference = cls._load_reference(reference_model, safe=safe)
        check_reference(reference, cls.__name__)
        reference.space.check_can_map()
        arguments = reference.registry_["setup_args"]
        _check_cells(adata, reference, arguments["features_key"])
        attributes = deepcopy(reference.saved_attributes())
        registry = attributes.pop("registry_")
        set_up = getattr(cls, registry["setup_method_name"])
        set_up(adata, source_registry=registry, extend_categories=True, **arguments)
        attributes |= {"history_": None, "train_indices_": None, "validation_indices_": None}
        attributes["fitted_"]["reference"] = attributes["fitted_"]["statistics"]
        model: Self = _initialize_model(cls, adata, registry, attributes, None)
        known = reference.module.state_dict()
        model.module.load_state_dict(grow_state(known, model.module.state_dict()))
        model.to_device(
            parse_device_args(
                accelerator, device, return_device="torch", validate_single_device=True
            )[2]
        )
        model.module.eval()
        if not unfrozen:
            model.is_trained_ = learn_only_new(model.module, known) == 0
        return model

    @classmethod
    def prepare_query_anndata(
        cls,
        adata: AnnData,
        reference_model: str | os.PathLike[str] | Self,
        return_reference_var_names: bool = False,
        inplace: bool = True,
        *,
        safe: bool = True,
    ) -> AnnData | pd.Index | None:
        """Give new cells the genes of a reference, in its order, see :class:`scvi.model.base.ArchesMixin`.

        Parameters
        ----------
        adata
            New cells.
        reference_model
            Trained model, or the folder of one.
        return_reference_var_names
            Whether to return the genes of the reference only.
        inplace
            Whether to change ``adata``.
        safe
            Whether to refuse a folder whose model could run code, see :meth:`load`.

        Returns
        -------
        New cells where not in place, or the genes.
        """
        reference = cls._load_reference(reference_model, safe=safe)
        return super().prepare_query_anndata(adata, reference, return_reference_var_names, inplace)

    @classmethod
    def prepare_query_mudata(
        cls,
        mdata: MuData,
        reference_model: str | os.PathLike[str] | Self,
        return_reference_var_names: bool = False,
        inplace: bool = True,
        *,
        safe: bool = True,
    ) -> MuData | dict[str, pd.Index] | None:
        """Give new cells the variables of a reference, see :class:`scvi.model.base.ArchesMixin`.

        Parameters
        ----------
        mdata
            New cells.
        reference_model
            Trained model, or the folder of one.
        return_reference_var_names
            Whether to return the variables of the reference only.
        inplace
            Whether to change ``mdata``.
        safe
            Whether to refuse a folder whose model could run code, see :meth:`load`.

        Returns
        -------
        New cells where not in place, or the variables by modality.
        """
        reference = cls._load_reference(reference_model, safe=safe)
        return super().prepare_query_mudata(mdata, reference, return_reference_var_names, inplace)

    @classmethod
    def _load_reference(cls, reference: str | os.PathLike[str] | Self, *, safe: bool) -> Self:
        if not isinstance(reference, str | os.PathLike):
            return reference
        return cls.load(reference, adata=False, safe=safe)


def _check_cells(adata: AnnData | MuData, reference: QueryMixin, features_key: str | None) -> None:
    screen: Screen = reference.screen
    reference._check_variables(adata)  # noqa: SLF001
    keys = [screen.perturbation_key, *screen.categorical_covariates, *screen.continuous_covariates]
    keys += [key for key in (screen.dose_key, screen.batch_key) if key is not None]
    check_query_columns(adata.obs, keys)
    check_given_cells(adata, reference.registry_, screen, reference.gene_likelihood)
    check_query_labels(
        adata.obs,
        perturbation_key=screen.perturbation_key,
        control=screen.table.control,
        dose_key=screen.dose_key,
    )
    check_query_covariates(adata.obs, screen.categorical_covariates)
    features = None if features_key is None else adata.uns.get(features_key)
    labels = adata.obs[screen.perturbation_key].astype(str).unique()
    table = screen.table if features is None else screen.table.with_features(features)
    parts = sorted({part for label in labels for part in table.parts_of(label)})
    new = [part for part in parts if not screen.is_seen(part)]
    place = f"`adata.obs[{screen.perturbation_key!r}]` of training and new cells"
    check_spelling([screen.table.control, *screen.table.perturbations, *new], place)
    check_query_features(features, screen.table.features, new, features_key)
