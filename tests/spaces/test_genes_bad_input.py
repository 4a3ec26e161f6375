"""What a user of named genes reads when something cannot be."""

import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.model import GIM, GraphSearch
from scgim.scm import StructureSearch

SETUP = {"perturbation_key": "drug", "control": "vehicle", "dose_key": "dose"}


def _model(adata, **options):
    GIM.setup_anndata(adata, **SETUP, features_key="drug_features")
    return GIM(adata, causal_space="genes", **({"gene_likelihood": "normal"} | options))


def _train(adata, **search):
    _model(adata).train(search=GraphSearch(n_restarts=1, **search), enable_progress_bar=False)


def _says(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


@pytest.fixture
def adata(genes_screen):
    return genes_screen.copy()


def test_more_genes_than_can_be_searched_honestly(adata):
    names = pd.DataFrame(index=[f"g{i}" for i in range(480)])
    wide = ad.AnnData(np.tile(adata.X, 60), adata.obs, names)
    GIM.setup_anndata(wide, **SETUP)
    with _says(
        "`causal_space='genes'` would make 480 nodes, but structure search is honest for at most "
        "400. Choose that many genes, for example `adata[:, genes]`, or use "
        "`causal_space='programs'`."
    ):
        GIM(wide, causal_space="genes", gene_likelihood="normal")


@pytest.mark.filterwarnings("ignore:.*fewer than 3 cells")
def test_fewer_cells_than_genes(adata):
    few = adata[[0, 1, 2, 400, 401, 600, 601]].copy()
    GIM.setup_anndata(few, **SETUP)
    with _says(
        "There are 7 cells for 8 nodes, but regressing a node on others needs more cells than "
        "nodes. Choose fewer genes, or add cells."
    ):
        GIM(few, causal_space="genes", gene_likelihood="normal")


def test_a_constant_gene(adata):
    adata.X[:, 2] = 3.0
    with _says(
        "'gene_2' do not vary within conditions, but a node needs variation to have a mechanism. "
        "Remove these genes."
    ):
        _train(adata)


def test_perfectly_collinear_genes(adata):
    adata.X[:, 2] = 2 * adata.X[:, 5]
    with _says(
        "'gene_2', 'gene_5' are perfectly collinear, so no data can tell their edges apart. Keep all "
        "but one of them."
    ):
        _train(adata)


def test_forbidden_and_required_edges_in_conflict(adata):
    with _says(
        "'gene_0 → gene_1' are both required and forbidden. Take each of them out of one of the two "
        "lists."
    ):
        _train(adata, forbidden=[("gene_0", "gene_1")], required=[("gene_0", "gene_1")])


def test_a_known_target_that_is_no_node(adata):
    with _says(
        "`search.known_targets` names 'STAT1', which are not among the 8 nodes. The nodes closest to "
        "'STAT1' are ['gene_0', 'gene_1', 'gene_2', 'gene_3', 'gene_4']. Add the genes to the data, "
        "or leave them out."
    ):
        _train(adata, known_targets={"drug_00": "STAT1"})


def test_all_perturbations_with_the_same_target(adata, mixed_world):
    only = adata[adata.obs.drug.isin(["vehicle", "drug_00", "drug_01"])].copy()
    moved = (only.obs.drug != "vehicle").to_numpy()
    rng = np.random.default_rng(0)
    only.X = rng.normal(size=only.shape).astype(np.float32)
    only.X[moved, 4] += 5
    message = (
        "All 2 perturbations have the same targets ('gene_4'), so only edges downstream of them are "
        "identified. Add perturbations with other targets, or give prior edges."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        _train(only)


def test_a_stopped_search_keeps_the_best_graph_so_far(adata, monkeypatch):
    climbs, climb = [], StructureSearch.climb

    def stop_at_the_third(self, graph):
        climbs.append(len(climbs))
        if len(climbs) == 3:
            raise KeyboardInterrupt
        return climb(self, graph)

    monkeypatch.setattr(StructureSearch, "climb", stop_at_the_third)
    model = _model(adata)
    message = (
        "The structure search was stopped after 2 of 11 climbs; the best graph until then is kept. "
        "Search again for more certainty."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        model.train(search=GraphSearch(n_restarts=10), enable_progress_bar=False)
    assert (model.get_causal_graph().to_numpy() != 0).any()
    assert np.isfinite(model.predict([("drug_00", 1.0)], n_cells=2).X).all()


def test_epochs_of_a_fit_in_closed_form(adata):
    with _says(
        "`GIM.train` got 'max_epochs', but with `causal_space='genes'` the model is fitted in closed "
        "form and has no epochs. Leave them out; `search=scgim.model.GraphSearch(...)` says how to "
        "search the graph."
    ):
        _model(adata).train(max_epochs=3)


def test_a_search_where_nothing_is_searched(screen):
    adata = screen.copy()
    GIM.setup_anndata(adata, **SETUP)
    with pytest.raises(ValueError, match=r"^`search` says how to find a graph of named genes, but"):
        GIM(adata, n_nodes=3).train(search=GraphSearch())


def test_expression_that_is_no_count(adata):
    with pytest.raises(ValueError, match=r"or use `gene_likelihood='normal'` for transformed"):
        _model(adata, gene_likelihood="nb")


def test_options_of_other_causal_spaces(adata):
    with pytest.raises(ValueError, match=r"^`n_hidden=32` is an option of the causal spaces"):
        _model(adata, n_hidden=32)
    with pytest.raises(ValueError, match=r"^`n_nodes=3`, but with `causal_space='genes'` the 8"):
        _model(adata, n_nodes=3)


def test_a_program_mask_names_no_genes(adata):
    adata.varm["mask"] = pd.DataFrame(
        np.eye(8, 2, dtype=int) + np.eye(8, 2, k=-4, dtype=int) > 0, adata.var_names, ["p", "q"]
    ).astype(int)
    with _says(
        "`program_mask_key` names gene programs, but with `causal_space='genes'` the genes are the "
        "nodes. Leave it out of `GIM.setup_anndata`, or use `causal_space='programs'`."
    ):
        GIM.setup_anndata(adata, **SETUP, program_mask_key="mask")
        GIM(adata, causal_space="genes", gene_likelihood="normal")


def test_new_cells_for_a_fit_in_closed_form(genes_model, adata):
    with pytest.raises(ValueError, match=r"^A model with `causal_space='genes'` cannot be mapped"):
        GIM.load_query_data(adata, genes_model)
