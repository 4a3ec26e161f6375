import anndata as ad
import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def annotated(model, screen):
    adata = screen.copy()
    model.annotate(adata, layer=True)
    return adata


def test_annotation_writes_the_entries_of_its_key(annotated, screen):
    assert annotated.obsm["X_gim"].shape == (screen.n_obs, 3)
    assert annotated.obsm["gim_predicted"].shape == screen.shape
    np.testing.assert_array_equal(
        annotated.layers["gim_predicted"], annotated.obsm["gim_predicted"]
    )
    assert set(annotated.uns["gim"]) == {
        "targets",
        "dose_response",
        "ec50",
        "causal_graph",
        "causal_graph_probability",
        "direct_effects",
        "mechanism_share",
        "causal_graph_ambiguous",
        "gene_programs",
        "settings",
    }


def test_annotation_changes_nothing_else(annotated, screen):
    pd.testing.assert_frame_equal(annotated.obs[list(screen.obs)], screen.obs)
    assert (annotated.X != screen.X).nnz == 0
    new = {key for key in annotated.uns if not key.startswith("_scvi")}
    assert new == set(screen.uns) | {"gim"}


def test_annotation_survives_a_file(annotated, tmp_path):
    annotated.write_h5ad(tmp_path / "annotated.h5ad")
    back = ad.read_h5ad(tmp_path / "annotated.h5ad")
    for name, table in annotated.uns["gim"].items():
        if name == "settings":
            continue
        pd.testing.assert_frame_equal(
            back.uns["gim"][name], table, check_dtype=False, check_categorical=False
        )
    assert back.uns["gim"]["settings"]["causal_space"] == "programs"
    assert back.uns["gim"]["settings"]["control"] == "vehicle"
    np.testing.assert_array_equal(back.obsm["X_gim"], annotated.obsm["X_gim"])


def test_annotated_nodes_are_the_latent_representation(annotated, model, screen):
    np.testing.assert_allclose(
        annotated.obsm["X_gim"], model.get_latent_representation(screen.copy()), rtol=1e-5
    )


def test_another_key_and_the_registered_screen_are_possible(make, trained):
    adata = make(20)
    model = trained(adata)
    model.annotate(key_added="run_2")
    assert {"X_run_2", "run_2_predicted"} <= set(adata.obsm)
    assert "run_2" in adata.uns
    assert not adata.layers


def test_predicted_expression_follows_the_label_of_the_cell_and_not_its_counts(model, screen):
    control = screen[screen.obs.drug == "vehicle"].copy()
    treated = control.copy()
    treated.obs = treated.obs.assign(drug="drug_a", dose=100.0)
    for cells in (control, treated):
        model.annotate(cells)
    change = (treated.obsm["gim_predicted"] - control.obsm["gim_predicted"]).mean(0)
    shift = model.predict_shift([("drug_a", 100.0)]).X[0]
    assert np.corrcoef(change, shift)[0, 1] > 0.9
    np.testing.assert_allclose(change, shift, atol=0.2)


def test_a_screen_without_doses_has_no_dose_tables(plain_model):
    adata = plain_model.adata.copy()
    plain_model.annotate(adata)
    assert "dose_response" not in adata.uns["gim"]
    assert adata.uns["gim"]["settings"]["dose_key"] == ""
