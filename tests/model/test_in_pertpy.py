"""What the model returns goes into pertpy, where that is installed: `pip install pertpy`."""

import anndata as ad
import numpy as np
import pytest
import scanpy as sc

DRUGS = ("drug_a", "drug_b", "drug_c")


@pytest.fixture(scope="module")
def pertpy():
    # no reason of our own, so that a pertpy that is there but cannot be imported says why
    return pytest.importorskip("pertpy", exc_type=ImportError)


@pytest.fixture(scope="module")
def cells(model, screen):
    """Observed and predicted cells of the same conditions, normalised in the same way."""
    conditions = [("vehicle", 0.0), *[(drug, 100.0) for drug in DRUGS]]
    predicted = model.predict(conditions, n_cells=30, seed=0)
    is_same = screen.obs["drug"].isin(["vehicle", *DRUGS]) & screen.obs["dose"].isin([0.0, 100.0])
    observed = screen[is_same].copy()
    both = ad.concat({"observed": observed, "predicted": predicted}, label="source")
    both.obs_names_make_unique()
    both.obs["drug"] = both.obs["drug"].astype(str).astype("category")
    both.layers["counts"] = both.X.copy()
    sc.pp.normalize_total(both, target_sum=1e4)
    sc.pp.log1p(both)
    sc.pp.pca(both, n_comps=3)
    return both


@pytest.mark.filterwarnings("default")
def test_distances_between_predicted_perturbations(pertpy, cells):
    predicted = cells[cells.obs["source"] == "predicted"].copy()
    distance = pertpy.tl.Distance("edistance", obsm_key="X_pca")
    table = distance.pairwise(predicted, groupby="drug", show_progressbar=False)
    assert set(table.index) == {"vehicle", *DRUGS}
    assert (table.loc["vehicle", list(DRUGS)] > 0).all()


@pytest.mark.filterwarnings("default")
def test_distances_between_nodes_of_annotated_cells(pertpy, model, screen):
    adata = screen.copy()
    model.annotate(adata)
    distance = pertpy.tl.Distance("edistance", obsm_key="X_gim")
    table = distance.pairwise(adata, groupby="drug", show_progressbar=False)
    assert np.isfinite(table.to_numpy(dtype=float)).all()


@pytest.mark.filterwarnings("default")
def test_pseudobulk_and_differential_expression_of_predicted_cells(pertpy, cells):
    bulk = pertpy.tl.PseudobulkSpace().compute(
        cells, target_col="drug", groups_col="source", layer_key="counts", mode="sum"
    )
    assert bulk.n_obs == 8
    predicted = cells[cells.obs["source"] == "predicted"].copy()
    table = pertpy.tl.WilcoxonTest.compare_groups(
        predicted, column="drug", baseline="vehicle", groups_to_compare=["drug_a"]
    )
    raised = table.loc[table["log_fc"] > 0, "variable"].head(4)
    assert set(raised) <= {f"gene_{gene}" for gene in range(8)}
