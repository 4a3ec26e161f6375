"""What a user of scvi-tools expects of any of its models, on a real model."""

import importlib
import json
from importlib.metadata import version

import numpy as np
import pytest
from scvi.criticism import PosteriorPredictiveCheck, create_criticism_report

from scgim.model import GIM

SEEN = [("drug_a", 10.0), ("drug_x", 5.0)]


# The helper of scvi-tools writes cards for its own models only.
CARD = "---\nlicense: bsd-3-clause\nlibrary_name: scgim\n---\n\n# GIM of a small screen\n"


def predict(model):
    return model.predict(SEEN, n_cells=3, seed=1).X.toarray()


def minify(model, minified_data_type="latent_posterior_parameters"):
    mean, variance = model.get_latent_representation(return_dist=True)
    model.adata.obsm["X_latent_qzm"], model.adata.obsm["X_latent_qzv"] = mean, variance
    model.minify_adata(minified_data_type)


@pytest.fixture(scope="module")
def other(make, trained):
    """Model with batches, of one's own to minify and to map."""
    return trained(make(3), setup={"batch_key": "lane"}, max_epochs=5)


def test_normalized_expression_moves_to_another_batch(other):
    lanes = {
        lane: other.get_normalized_expression(transform_batch=lane, library_size=1e4)
        for lane in ("lane_1", "lane_2")
    }
    assert lanes["lane_1"].shape == (other.adata.n_obs, 24)
    assert not np.allclose(lanes["lane_1"], lanes["lane_2"])
    some = other.get_normalized_expression(
        gene_list=["gene_1", "gene_5"], indices=[3, 5], n_samples=4, return_mean=False
    )
    assert some.shape == (4, 2, 2)


def test_inference_methods_take_a_dataloader(other):
    loader = other._make_data_loader(adata=other.adata, batch_size=50)
    np.testing.assert_allclose(
        other.get_latent_representation(dataloader=loader),
        other.get_latent_representation(),
        rtol=1e-5,
    )
    assert np.isfinite(float(other.get_elbo(dataloader=loader)))


@pytest.mark.filterwarnings("ignore:Comparing two sparse matrices:Warning")
def test_criticism_of_scvi_compares_predictive_samples_with_the_data(model):
    counts = model.adata.copy()
    counts.X = counts.X.astype(int)  # scvi-tools 1.4 cannot compare sparse floats
    check = PosteriorPredictiveCheck(counts, {"model1": model}, n_samples=3)
    check.coefficient_of_variation("cells")
    table = check.metrics["cv_gene"]
    assert 0.5 < table["model1"].mean() / table["Raw"].mean() < 2
    check.zero_fraction()
    check.calibration_error()  # of scvi-tools, which calls every model "model1"
    assert np.isfinite(check.metrics["calibration"].to_numpy()).all()


@pytest.mark.filterwarnings("ignore:Comparing two sparse matrices:Warning")
@pytest.mark.filterwarnings("ignore:n_top_genes_fallback=:UserWarning")
@pytest.mark.filterwarnings("ignore:An input array is constant:Warning")
def test_criticism_report_of_scvi_is_written_by_perturbation(model, tmp_path):
    pytest.importorskip("leidenalg")  # scvi-tools asks for it whether or not it groups cells
    counts = model.adata.copy()
    counts.X = counts.X.astype(int)
    create_criticism_report(model, counts, n_samples=2, save_folder=str(tmp_path))
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert "Pearson" in report["cell_wise_cv"]
    assert "Pearson" in report["gene_wise_cv"]
    assert "drug_a+drug_b" in report["diff_exp"]


@pytest.mark.parametrize(
    "kind", ["latent_posterior_parameters", "latent_posterior_parameters_with_counts"]
)
@pytest.mark.parametrize("safe", [False, True])
def test_a_minified_model_predicts_and_is_saved_with_its_cells(make, trained, tmp_path, kind, safe):
    model = trained(make(3), setup={"batch_key": "lane"}, max_epochs=2)
    expected, nodes = predict(model), model.get_latent_representation()
    minify(model, kind)
    assert (model.adata.X.nnz == 0) == (kind == "latent_posterior_parameters")
    model.save(tmp_path / "mini", save_anndata=True, safe=safe)
    for mini in (model, GIM.load(tmp_path / "mini")):
        assert mini.minified_data_type == kind
        np.testing.assert_array_equal(predict(mini), expected)
        np.testing.assert_allclose(mini.get_latent_representation(), nodes, rtol=1e-5)
        assert mini.get_normalized_expression(n_samples=2).shape == (mini.adata.n_obs, 24)
        assert np.isfinite(mini.get_intervention_targets().effect).all()
        assert np.isfinite(mini.predict_differential_expression(SEEN, n_cells=5).lfc_mean).all()


def test_a_model_goes_to_the_hub_and_back_through_a_folder(model, screen, tmp_path):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    hub = importlib.import_module("scvi.hub")
    folder = str(tmp_path / "gim")
    model.save(folder)
    metadata = hub.HubMetadata.from_dir(
        folder, anndata_version=version("anndata"), model_parent_module="scgim.model"
    )
    hub.HubModel(folder, metadata=metadata, model_card=huggingface_hub.ModelCard(CARD)).save()
    received = hub.HubModel(folder)
    assert received.metadata.model_cls_name == "GIM"
    received.load_model(adata=screen.copy())
    assert isinstance(received.model, GIM)
    np.testing.assert_array_equal(predict(received.model), predict(model))


def test_a_safe_model_comes_from_the_hub_too(model, screen, tmp_path):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    hub = importlib.import_module("scvi.hub")
    folder = str(tmp_path / "gim")
    model.save(folder, safe=True)
    metadata = hub.HubMetadata(
        model.registry_["scvi_version"],
        version("anndata"),
        "GIM",
        model_parent_module="scgim.model",
    )
    received = hub.HubModel(folder, metadata=metadata, model_card=huggingface_hub.ModelCard(CARD))
    received.load_model(adata=screen.copy())
    np.testing.assert_array_equal(predict(received.model), predict(model))


def test_a_folder_without_metadata_is_refused_by_the_hub(model, tmp_path):
    pytest.importorskip("huggingface_hub")
    hub = importlib.import_module("scvi.hub")
    model.save(tmp_path / "gim")
    with pytest.raises(ValueError, match="No metadata found"):
        hub.HubModel(str(tmp_path / "gim"))


def test_an_untrained_model_can_be_criticised_too(screen):
    adata = screen.copy()
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose", features_key="drug_features")
    samples = GIM(adata, n_nodes=3).posterior_predictive_sample(indices=[0, 1], n_samples=2)
    assert samples.shape == (2, 24, 2)
