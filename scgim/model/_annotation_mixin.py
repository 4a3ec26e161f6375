from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pandas as pd

from scgim.model._checks import check_is_trained
from scgim.model._conditions import prepare_conditions
from scgim.model._parts import ModelParts
from scgim.spaces._global_state import keep_random_state

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class AnnotationMixin(ModelParts):
    """The one verb that writes into the user's AnnData."""

    @keep_random_state
    def annotate(
        self, adata: AnnData | None = None, key_added: str = "gim", *, layer: bool = False
    ) -> None:
        """Write what was learned into ``adata``, where scanpy finds it.

        Parameters
        ----------
        adata
            Cells to annotate; the registered screen if not given.
        key_added
            Name of the entries.
        layer
            Whether to write the predicted expression as a layer, too.

        Raises
        ------
        RuntimeError
            Before training.

        Notes
        -----
        Writes ``.obsm["X_<key>"]``, the node values of each cell; ``.obsm["<key>_predicted"]``,
        the expected log1p(CP10k) of a cell with the perturbation, covariates and total count of
        each cell but with noise drawn anew, so that it is a prediction and no reconstruction; and
        ``.uns["<key>"]`` with ``targets, dose_response, ec50, causal_graph,
        causal_graph_probability, causal_graph_ambiguous, gene_programs, settings``, and where genes
        are no nodes ``direct_effects`` (log folds of the rates, perturbations x genes) and
        ``mechanism_share``. All of it can be written to h5ad.
        """
        check_is_trained(self, "annotate")
        adata = self.adata if adata is None else adata
        predicted = self._expected_expression(adata)
        nodes = self.get_latent_representation(adata)
        adata.obsm[f"X_{key_added}"] = nodes
        adata.obsm[f"{key_added}_predicted"] = predicted
        if layer:
            adata.layers[f"{key_added}_predicted"] = predicted.copy()
        adata.uns[key_added] = self._tables()

    def _expected_expression(self, adata: AnnData) -> np.ndarray:
        """Predict the expression of a new cell in the place of each cell, cells x genes."""
        keys = [self.screen.perturbation_key]
        if self.screen.dose_key is not None:
            keys.append(self.screen.dose_key)
        design = adata.obs[keys].reset_index(drop=True)
        design[keys[0]] = design[keys[0]].astype(str)
        conditions = design.drop_duplicates().reset_index(drop=True)
        prepared = prepare_conditions(self, conditions, None)
        place = pd.MultiIndex.from_frame(conditions).get_indexer(pd.MultiIndex.from_frame(design))
        gene_shift = self.fitted.gene_shift(prepared)
        return self._expect_cells(adata, place, prepared.intervention(), gene_shift)

    def _tables(self) -> dict[str, object]:
        """Everything that was learned, as tables that can be written to h5ad."""
        screen = self.screen
        tables: dict[str, object] = {
            "targets": self.get_intervention_targets(),
            "causal_graph": self.get_causal_graph(),
            "causal_graph_probability": self.get_causal_graph("probability"),
            "causal_graph_ambiguous": self.get_causal_graph("ambiguous"),
            "gene_programs": self.get_gene_programs(),
            "settings": {
                "version": version("scgim"),
                "causal_space": self.causal_space,
                "gene_likelihood": self.gene_likelihood,
                "n_nodes": len(self.node_names_),
                "perturbation_key": screen.perturbation_key,
                "control": screen.table.control,
                "dose_key": screen.dose_key or "",
            },
        }
        if self.fitted.has_direct_effects:
            names = list(screen.table.perturbations)
            effect = self.fitted.call_gene_targets(names)["effect"]
            tables["direct_effects"] = pd.DataFrame(effect, names, self._gene_names())
            tables["mechanism_share"] = self.get_mechanism_share()
        if len(screen.treated_doses):
            response = self.get_dose_response()
            tables["ec50"] = pd.DataFrame(response.attrs["ec50"]).T
            response.attrs = {}
            tables["dose_response"] = response
        return tables
