from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS as SCVI_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import LayerField
from scvi.model.base._de_core import _de_core

from scgim.model._checks import check_is_trained
from scgim.model._conditions import ConditionsLike, prepare_conditions
from scgim.model._prediction_mixin import PredictionMixin
from scgim.scm import Intervention, shift_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

PSEUDOCOUNT = 0.1


class DifferentialExpressionMixin(PredictionMixin):
    """Differential expression between predicted cells and control cells."""

    def predict_differential_expression(
        self,
        conditions: ConditionsLike,
        *,
        features: pd.DataFrame | None = None,
        ignore: Sequence[str] | str = (),
        n_cells: int = 1000,
        delta: float = 0.25,
        fdr: float = 0.05,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Test which genes a perturbation changes, run or not, against the control.

        Each cell is predicted with and without the perturbation on the same noise, under its own
        draw from the distribution over interventions. What is known badly is therefore rarely
        called. The test is that of scvi-tools (:cite:p:`boyeau2019`, mode ``"change"``); for cells
        that were observed use :meth:`differential_expression`.

        Parameters
        ----------
        conditions
            As for :meth:`predict`.
        features
            As for :meth:`predict`.
        ignore
            As for :meth:`predict`.
        n_cells
            Pairs of cells per condition.
        delta
            Smallest log2 fold change that counts as a change; for the normal likelihood, smallest
            difference.
        fdr
            False discovery rate, as the model expects it, of the genes that are called.
        seed
            Seed of cells and interventions.

        Returns
        -------
        One row per condition and gene (the index), in the columns of
        :meth:`differential_expression`, ``proba_de``, ``lfc_mean``, ``lfc_median``,
        ``is_de_fdr_0.05`` and others, and the columns of ``conditions``.

        Raises
        ------
        RuntimeError
            Before training, or for unseen perturbations without a generator.
        """
        check_is_trained(self, "predict_differential_expression")
        prepared = prepare_conditions(self, conditions, features, ignore)
        rng = np.random.default_rng(seed)
        drawn = prepared.draw(n_cells, rng)
        empty = shift_nodes(torch.zeros_like(drawn.shift[:, 0]))
        gene_shift = self.fitted.gene_shift(prepared)
        base = self._base_population(prepared.obs, n_cells, rng)
        tables = []
        for number, (_, condition) in enumerate(prepared.obs.iterrows()):
            chosen = np.arange(n_cells) + number * n_cells
            direct = None if gene_shift is None else gene_shift[number]
            table = self._test_pairs(
                self._scale(base, chosen, drawn[:, number], direct),
                self._scale(base, chosen, empty),
                delta=delta,
                fdr=fdr,
            )
            tables.append(table.assign(**condition.to_dict()))
        return pd.concat(tables)

    @torch.inference_mode()
    def _scale(
        self,
        base: dict[str, Tensor],
        cell: np.ndarray,
        intervention: Intervention,
        gene_shift: Tensor | None = None,
    ) -> np.ndarray:
        """Share of each gene in the expression of cells (its mean if transformed)."""
        nodes, covariates, library = self._intervene(base, cell, intervention)
        log_scale = self.module.decode(nodes, library.log(), covariates, gene_shift).log_scale
        scale: np.ndarray = self.module.likelihood.scale(log_scale).cpu().numpy()
        return scale

    def _test_pairs(
        self, predicted: np.ndarray, control: np.ndarray, *, delta: float, fdr: float
    ) -> pd.DataFrame:
        """Hand pairs of cells to the test of scvi-tools, which compares them row by row."""
        group = np.repeat(["predicted", "control"], len(predicted))
        obs = pd.DataFrame({"group": group}, index=[str(i) for i in range(len(group))])
        cells = AnnData(np.concatenate([predicted, control]), obs=obs)
        manager = AnnDataManager(fields=[LayerField(SCVI_KEYS.X_KEY, None, is_count_data=False)])
        manager.register_fields(cells)
        options: dict[str, Any] = {"pseudocounts": PSEUDOCOUNT / float(self.module.median_library)}
        if not self.module.likelihood.is_count:
            options = {"pseudocounts": 0.0, "change_fn": _difference}
        return _de_core(
            manager,
            model_fn=lambda adata, indices, **_: adata.X[indices],
            representation_fn=None,
            groupby="group",
            group1="predicted",
            group2="control",
            idx1=None,
            idx2=None,
            all_stats=False,
            all_stats_fn=None,
            col_names=self._gene_names(),
            mode="change",
            batchid1=None,
            batchid2=None,
            delta=delta,
            batch_correction=False,
            fdr=fdr,
            silent=True,
            **options,
        )


def _difference(predicted: np.ndarray, control: np.ndarray, _pseudocounts: float) -> np.ndarray:
    return predicted - control
