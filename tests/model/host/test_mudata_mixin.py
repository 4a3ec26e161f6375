import re

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import torch

from scgim.model import GIM

PROTEINS = ["CD3", "CD4", "CD8"]
SETUP = {
    "perturbation_key": "drug",
    "control": "vehicle",
    "dose_key": "dose",
    "features_key": "drug_features",
}
TRAIN = {"accelerator": "cpu", "batch_size": 64, "enable_progress_bar": False}
CONDITIONS = [("drug_a", 100.0), ("vehicle", 0.0), ("drug_x", 10.0)]


def with_proteins(adata, seed=0):
    """Protein i follows program i of the cells, and nothing else."""
    rng = np.random.default_rng(seed)
    programs = np.log(adata.X.toarray().reshape(adata.n_obs, 3, 8).sum(2) + 1)
    activity = (programs - programs.mean(0)) / programs.std(0)
    counts = rng.poisson(np.exp(3 + 0.7 * activity)).astype(np.float32)
    cells = pd.DataFrame(index=adata.obs_names)
    protein = ad.AnnData(counts, cells.copy(), pd.DataFrame(index=PROTEINS))
    mdata = md.MuData({"rna": ad.AnnData(adata.X, cells, adata.var), "protein": protein})
    mdata.obs = adata.obs.copy()
    mdata.uns["drug_features"] = adata.uns["drug_features"]
    return mdata


def fit(mdata, *, setup=None, max_epochs=1, **model):
    GIM.setup_mudata(mdata, **(SETUP | (setup or {})))
    gim = GIM(mdata, **({"n_nodes": 3, "n_hidden": 16, "n_layers": 1} | model))
    gim.train(max_epochs, fix_gauge=max_epochs > 1, **TRAIN)
    return gim


def proteins_of(model, n_cells=3, **kwargs):
    return model.predict(CONDITIONS, n_cells=n_cells, seed=0, **kwargs).obsm["protein"]


@pytest.fixture(scope="module")
def mdata(screen):
    return with_proteins(screen)


@pytest.fixture(scope="module")
def trained_mdata(mdata):
    torch.manual_seed(0)
    return fit(mdata.copy(), max_epochs=120)


def test_proteins_are_predicted_beside_the_genes_of_the_same_cells(trained_mdata, mdata):
    predicted = trained_mdata.predict(CONDITIONS, n_cells=200, seed=0)
    assert predicted.shape == (600, 24)
    mean = predicted.obsm["protein"].groupby(predicted.obs.drug, observed=True).mean()
    assert list(mean.columns) == PROTEINS
    is_control = (mdata.obs.drug == "vehicle").to_numpy()
    observed = mdata["protein"].to_df()[is_control].mean()
    np.testing.assert_allclose(mean.loc["vehicle"], observed, rtol=0.25)
    # drug_a moves the first program, which the first protein follows
    ratio = mean.loc["drug_a"] / mean.loc["vehicle"]
    assert ratio["CD3"] > 1.25
    assert (ratio[["CD4", "CD8"]] < 1.2).all()
    np.testing.assert_array_equal(predicted.obsm["protein"], predicted.obsm["protein"].round())


def test_expected_proteins_are_those_that_are_sampled_around(trained_mdata):
    expected = proteins_of(trained_mdata, 300, output="normalized").mean()
    np.testing.assert_allclose(proteins_of(trained_mdata, 300).mean(), expected, rtol=0.15)
    assert "protein" not in trained_mdata.predict(CONDITIONS, n_cells=1, output="nodes").obsm


def test_counterfactual_proteins_of_given_cells(trained_mdata, mdata):
    control = mdata[mdata.obs.drug == "vehicle"].copy()
    predicted = trained_mdata.predict([("drug_a", 100.0)], adata=control, output="normalized")
    assert predicted.obs.control_cell.tolist() == control.obs_names.tolist()
    observed = control["protein"].to_df()
    assert predicted.obsm["protein"]["CD3"].mean() > 1.25 * observed["CD3"].mean()


def test_a_protein_has_the_program_of_the_genes_that_it_follows(trained_mdata):
    proteins = trained_mdata.get_protein_programs()
    assert proteins.index.tolist() == PROTEINS
    genes = trained_mdata.get_gene_programs().to_numpy().reshape(3, 8, 3).mean(1)
    for protein, followed in zip(proteins.to_numpy(), range(3), strict=True):
        assert np.argmax(genes @ protein) == followed


def test_proteins_inform_the_nodes(trained_mdata, mdata):
    more = mdata.copy()
    more["protein"].X[:, 0] *= 4
    moved = trained_mdata.get_latent_representation(more)
    assert np.abs(moved - trained_mdata.get_latent_representation()).max() > 0.1


def test_fixing_the_gauge_changes_no_prediction_of_proteins(mdata):
    model = fit(mdata.copy())
    model.train(5, fix_gauge=False, **TRAIN)
    before = proteins_of(model, 200, output="normalized").mean()
    model.fix_gauge()
    np.testing.assert_allclose(
        proteins_of(model, 200, output="normalized").mean(), before, rtol=0.1
    )


@pytest.mark.parametrize("safe", [False, True])
def test_a_saved_model_is_the_same_with_and_without_cells(trained_mdata, mdata, tmp_path, safe):
    trained_mdata.save(tmp_path / "gim", safe=safe, save_anndata=True)
    expected = proteins_of(trained_mdata)
    for cells in (mdata.copy(), False, None):
        loaded = GIM.load(tmp_path / "gim", cells, safe=safe)
        pd.testing.assert_frame_equal(proteins_of(loaded), expected)
    assert isinstance(loaded.adata, md.MuData)
    without = GIM.load(tmp_path / "gim", adata=False, safe=safe)
    without.save(tmp_path / "again", safe=safe)
    pd.testing.assert_frame_equal(
        proteins_of(GIM.load(tmp_path / "again", False, safe=safe)), expected
    )


def test_host_methods_name_genes_and_cells(trained_mdata):
    table = trained_mdata.get_normalized_expression(gene_list=["gene_3"], indices=[0, 5])
    assert table.columns.tolist() == ["gene_3"]
    assert table.index.tolist() == ["c0", "c5"]
    assert trained_mdata.get_normalized_expression().shape == (170, 24)
    assert np.isfinite(float(trained_mdata.get_elbo()))
    samples = trained_mdata.posterior_predictive_sample(indices=[0, 1], n_samples=2)
    assert samples.shape == (2, 24, 2)


def test_annotations_are_written_to_the_mudata(trained_mdata, mdata, tmp_path):
    cells = mdata.copy()
    trained_mdata.annotate(cells)
    assert cells.obsm["X_gim"].shape == (170, 3)
    assert "targets" in cells.uns["gim"]


def test_a_model_is_mapped_on_new_cells_of_both_modalities(trained_mdata, make):
    query = with_proteins(make(5, drugs=("drug_a", "new"), combination=False), seed=1)
    mapped = GIM.load_query_data(query, trained_mdata)
    mapped.train(2, **TRAIN)
    assert mapped.screen.table.perturbations[-1] == "new"
    pd.testing.assert_frame_equal(
        mapped.get_protein_programs(), trained_mdata.get_protein_programs()
    )


def test_features_may_come_from_a_modality_of_the_cells(mdata):
    cells = mdata.copy()
    table = cells.uns["drug_features"].drop(["drug_x", "drug_y"])
    table.loc["vehicle"] = 0.0
    table.loc["drug_a+drug_b"] = 0.0  # of the parts; the sum needs none
    values = table.loc[cells.obs.drug.astype(str)].to_numpy(np.float32)
    drug = ad.AnnData(values, cells["rna"].obs.copy(), pd.DataFrame(index=table.columns))
    three = md.MuData({"rna": cells["rna"], "protein": cells["protein"], "drug": drug})
    three.obs = cells.obs
    GIM.setup_mudata(three, **(SETUP | {"features_key": "drug"}))
    features = GIM(three, n_nodes=3).screen.table.features
    np.testing.assert_allclose(
        features.loc["drug_b"], table.loc["drug_b", features.columns], rtol=1e-6
    )


def test_transformed_proteins_have_a_normal_likelihood(mdata):
    cells = mdata.copy()
    cells["protein"].X = np.log1p(cells["protein"].X) - 3
    model = fit(cells, max_epochs=2, protein_likelihood="normal", causal_space="latent")
    assert (proteins_of(model, 50) < 0).any(axis=None)


def test_a_screen_of_rna_alone_has_no_proteins(model):
    assert model.protein_names == []
    assert model.get_protein_programs().shape == (0, 3)
    assert "protein" not in model.predict([("drug_a", 1.0)], n_cells=1).obsm


def test_named_genes_and_unaligned_modalities_are_refused(mdata):
    GIM.setup_mudata(mdata, **SETUP)
    with pytest.raises(ValueError, match="no second observation model for proteins"):
        GIM(mdata, causal_space="genes")
    shorter = md.MuData({"rna": mdata["rna"], "protein": mdata["protein"][:100].copy()})
    shorter.obs = mdata.obs
    with pytest.raises(ValueError, match="The modality 'protein' lacks 70 of 170 cells"):
        GIM.setup_mudata(shorter, **SETUP)


def test_cells_of_rna_and_protein_cannot_be_minified(trained_mdata):
    message = (
        "The cells of a model of RNA and protein cannot be minified: scvi-tools minifies one "
        "AnnData. Save the model without cells (`GIM.save`, the default), which is smaller still "
        "and enough for predictions, or set up the RNA alone with `GIM.setup_anndata`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        trained_mdata.minify_adata()
