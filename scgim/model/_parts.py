from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData
    from scvi.data import AnnDataManager
    from torch import Tensor

    from scgim.data import Screen
    from scgim.module import CausalSpace, GeneLikelihood, ProteinLikelihood
    from scgim.scm import Intervention
    from scgim.spaces._fit import Fit
    from scgim.spaces._space import Space


class ModelParts:
    """What the mixins of :class:`~scgim.model.GIM` may rely on.

    Attributes
    ----------
    module
        The generative model, a :class:`~scgim.module.CausalModule`.
    space
        The causal space: what the nodes are, and how they are fitted.
    fitted
        What was learned beside the weights; not there before training.
    fitted_
        The same as plain values, which are saved; ``None`` before training.
    screen
        What the registry knows of the screen.
    node_names_
        Names of the nodes; in causal order for programs and latent factors.
    """

    module: Any
    space: Space
    screen: Screen
    adata: AnnData
    causal_space: CausalSpace
    gene_likelihood: GeneLikelihood
    protein_likelihood: ProteinLikelihood
    node_names_: list[str]
    fitted_: dict[str, Any] | None

    if TYPE_CHECKING:
        history_: dict[str, pd.DataFrame]
        is_trained_: bool
        adata_manager: AnnDataManager
        registry_: dict
        _predict_proteins: Any

        @property
        def fitted(self) -> Fit: ...

        @property
        def protein_names(self) -> list[str]: ...

        @property
        def interventions(self) -> Any: ...  # noqa: ANN401

        def get_intervention_targets(self, *, level: Any = "nodes") -> pd.DataFrame: ...  # noqa: ANN401

        def get_mechanism_share(self) -> pd.DataFrame: ...

        def get_causal_graph(self, kind: Any = "weight", *, as_networkx: bool = False) -> Any: ...  # noqa: ANN401

        def get_dose_response(self) -> pd.DataFrame: ...

        def get_gene_programs(self) -> pd.DataFrame: ...

        def _expect_cells(
            self,
            adata: AnnData,
            condition: np.ndarray,
            intervention: Intervention,
            gene_shift: Tensor | None,
        ) -> np.ndarray: ...

        minified_data_type: str | None

        def get_latent_representation(
            self, adata: AnnData | None = None, *, return_dist: bool = False
        ) -> Any: ...  # noqa: ANN401

        def saved_attributes(self) -> dict[str, Any]: ...

        def get_var_names(self) -> pd.Index: ...

        def _make_data_loader(self, **kwargs: object) -> Iterable[dict[str, Tensor]]: ...

        def _batches(
            self, batch_size: int, n_cells: int | None = None
        ) -> Iterable[dict[str, Tensor]]: ...

        def _gene_names(self) -> list[str]: ...

        def _check_variables(self, cells: AnnData | MuData) -> None: ...

        def _validate_anndata(self, adata: AnnData) -> AnnData: ...
