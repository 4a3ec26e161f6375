from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from torch import Tensor

    from scgim.data import Screen
    from scgim.module import GeneLikelihood, GIMModule
    from scgim.scm import InterventionFit, InterventionGenerator


class ModelParts:
    """What the mixins of :class:`~scgim.model.GIM` may rely on.

    Attributes
    ----------
    module
        The generative model.
    screen
        What the registry knows of the screen.
    node_names_
        Names of the nodes, in causal order.
    statistics_
        :class:`~scgim.model._training_statistics.TrainingStatistics` as a dictionary.
    calibration_
        Scale, floor and quantiles of intervals, for seen and unseen perturbations.
    reference_statistics_
        ``statistics_`` of the model that was mapped on these cells; ``None`` for a model trained
        from the start.
    gauge_
        Costs of the bases of the nodes that were found, and the near ties.
    """

    module: GIMModule
    screen: Screen
    adata: AnnData
    causal_space: str
    gene_likelihood: GeneLikelihood
    node_names_: list[str]
    statistics_: dict[str, Any]
    reference_statistics_: dict[str, Any] | None
    calibration_: dict[str, dict[str, Any]]
    gauge_: dict[str, np.ndarray]

    if TYPE_CHECKING:

        @property
        def interventions(self) -> InterventionFit: ...

        def require_generator(self) -> InterventionGenerator: ...

        def get_intervention_targets(self) -> pd.DataFrame: ...

        def get_causal_graph(self, kind: Any = "weight", *, as_networkx: bool = False) -> Any: ...  # noqa: ANN401

        def get_dose_response(self) -> pd.DataFrame: ...

        def get_gene_programs(self) -> pd.DataFrame: ...

        def _expect_cells(self, adata: AnnData, shift: np.ndarray) -> np.ndarray: ...

        def get_latent_representation(self, adata: AnnData | None = None) -> np.ndarray: ...

        def saved_attributes(self) -> dict[str, Any]: ...

        def get_var_names(self) -> pd.Index: ...

        def _make_data_loader(self, **kwargs: object) -> Iterable[dict[str, Tensor]]: ...

        def _validate_anndata(self, adata: AnnData) -> AnnData: ...

    def _gene_names(self) -> list[str]:
        return list(self.get_var_names())
