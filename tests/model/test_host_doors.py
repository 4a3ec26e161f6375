"""What a user of scvi-tools expects of any of its models, on a real model."""

import json

import numpy as np
import pytest
from scvi.criticism import PosteriorPredictiveCheck, create_criticism_report

from scgim.model import GIM

SEEN = [("drug_a", 10.0), ("drug_x", 5.0)]


def predict(model):
    return model.predict(SEEN, n_cells=3, seed=1).X.toarray()


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


def test_an_untrained_model_can_be_criticised_too(screen):
    adata = screen.copy()
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose", features_key="drug_features")
    samples = GIM(adata, n_nodes=3).posterior_predictive_sample(indices=[0, 1], n_samples=2)
    assert samples.shape == (2, 24, 2)
