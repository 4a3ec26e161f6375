from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS as SCVI_KEYS

from scgim.data import ScreenDataModule, StreamedScreen, streamed_keys
from scgim.model._cell_gate import check_own_cells
from scgim.model._parts import ModelParts
from scgim.model.host._datamodule_checks import check_datamodule, check_has_cells
from scgim.module import get_likelihood

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    from torch import Tensor

    from scgim.data._perturbation_direction import Direction

STATISTICS_KEY = "expression_statistics"


class DataModuleMixin(ModelParts):
    """Cells beyond memory: a model built from a registry and trained on streamed cells."""

    _datamodule: ScreenDataModule | None = None

    @classmethod
    def setup_datamodule(
        cls,
        datamodule: Any,
        control: str,
        *,
        dose_key: str | None = None,
        features: pd.DataFrame | None = None,
        perturbation_direction: Direction | Mapping[str, Direction] = "unknown",
    ) -> ScreenDataModule:
        """Declare cells that a data module of scvi-tools streams to be a screen, and check it.

        Goes over the cells once, to count conditions and genes. The labels of the data module are
        the perturbations. Cells for validation are those that the data module sets aside, which are
        random cells and not whole conditions: scores on them say nothing of unseen conditions.

        Parameters
        ----------
        datamodule
            For example what ``GIM.setup_annbatch(..., labels_key="drug",
            continuous_covariate_keys=["dose"])`` gives.
        control
            Label of the control cells.
        dose_key
            Continuous covariate of the data module with doses.
        features
            Perturbation features, one row per perturbation.
        perturbation_direction
            What perturbations can do to the expression of their targets, see :meth:`setup_anndata`.

        Returns
        -------
        Data module of the screen: ``model = GIM(registry=screen.registry)``, then
        ``model.train(datamodule=screen)``.

        Raises
        ------
        ValueError
            Where labels, doses or features cannot be used.
        """
        check_datamodule(datamodule, dose_key)
        streamed = StreamedScreen.read(datamodule, dose_key)
        cells = streamed.cells
        features_key = None
        if features is not None:
            features_key = "perturbation_features"
            cells.uns[features_key] = features
        model: Any = cls
        model.setup_anndata(
            cells,
            control=control,
            dose_key=dose_key,
            features_key=features_key,
            perturbation_direction=perturbation_direction,
            **streamed_keys(datamodule, dose_key),
        )
        registry = model._get_most_recent_anndata_manager(cells, required=True).registry
        state = registry["field_registries"][SCVI_KEYS.X_KEY]["state_registry"]
        state[STATISTICS_KEY] = {
            "gene_total": streamed.gene_total,
            "median_library": streamed.median_library,
            "n_obs": cells.n_obs,
        }
        return ScreenDataModule(datamodule, registry, dose_key)

    def _batches(self, batch_size: int, n_cells: int | None = None) -> Iterable[dict[str, Tensor]]:
        """Minibatches of the registered cells, or of some of them."""
        if self.adata is not None:
            check_own_cells(self.adata_manager)
            indices = None
            if n_cells is not None:
                rng = np.random.default_rng(0)
                indices = np.sort(rng.permutation(self.adata.n_obs)[:n_cells])
            yield from self._make_data_loader(
                adata=self.adata, indices=indices, batch_size=batch_size
            )
            return
        check_has_cells(self._datamodule)
        assert self._datamodule is not None
        n_seen = 0
        for tensors in self._datamodule.inference_dataloader():
            yield tensors
            n_seen += len(tensors[SCVI_KEYS.X_KEY])
            if n_cells is not None and n_seen >= n_cells:
                return

    def _streamed_statistics(self) -> dict[str, Any]:
        """Start of the gene intercepts as the pass over streamed cells found it."""
        state = self.registry_["field_registries"][SCVI_KEYS.X_KEY]["state_registry"]
        statistics = state.get(STATISTICS_KEY)
        if statistics is None:
            return {}
        return self._start(**statistics)

    def _start(self, gene_total: np.ndarray, median_library: float, n_obs: int) -> dict[str, Any]:
        """Start of the gene intercepts and the scale of the encoder's input."""
        likelihood = get_likelihood(self.gene_likelihood)
        intercept = likelihood.start_intercept(gene_total, n_obs)
        start = {"mean_log_expression": torch.tensor(intercept, dtype=torch.float32)}
        return start | {"median_library": median_library} if likelihood.is_count else start
