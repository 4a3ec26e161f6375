import re

import numpy as np
import pytest

from scgim.model import GIM

SEEN = [("drug_a", 10.0), ("drug_x", 5.0)]
KINDS = ["latent_posterior_parameters", "latent_posterior_parameters_with_counts"]


def predict(model):
    return model.predict(SEEN, n_cells=3, seed=1).X.toarray()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("safe", [False, True])
def test_a_minified_model_predicts_and_is_saved_with_its_cells(make, trained, tmp_path, kind, safe):
    model = trained(make(3), setup={"batch_key": "lane"}, max_epochs=2)
    expected, nodes = predict(model), model.get_latent_representation()
    model.minify_adata(kind)
    assert (model.adata.X.nnz == 0) == (kind == "latent_posterior_parameters")
    model.save(tmp_path / "mini", save_anndata=True, safe=safe)
    for mini in (model, GIM.load(tmp_path / "mini", safe=safe)):
        assert mini.minified_data_type == kind
        np.testing.assert_array_equal(predict(mini), expected)
        np.testing.assert_allclose(mini.get_latent_representation(), nodes, rtol=1e-5)
        assert mini.get_normalized_expression(n_samples=2).shape == (mini.adata.n_obs, 24)
        assert np.isfinite(mini.get_intervention_targets().effect).all()
        assert np.isfinite(mini.predict_differential_expression(SEEN, n_cells=5).lfc_mean).all()


def test_the_cells_of_the_user_stay_as_they_are(make, trained, assert_same):
    screen = make(3)
    model = trained(screen)
    model.minify_adata()
    assert model.adata is not screen
    assert_same(make(3), screen)


def test_a_posterior_that_is_there_is_used_and_kept(make, trained):
    model = trained(make(3))
    cells = model.adata
    cells.obsm["mine"] = np.zeros((cells.n_obs, 3), dtype=np.float32)
    model.minify_adata(use_latent_qzm_key="mine")
    np.testing.assert_array_equal(model.get_latent_representation(), 0.0)
    assert set(cells.obsm) - {"_scvi_extra_continuous_covs"} == {"mine"}


def test_cells_that_are_minified_already_are_refused(make, trained):
    model = trained(make(3))
    model.minify_adata()
    message = (
        "The cells of the model are minified already. Go on with the model as it is, or load it "
        "with the original cells, `GIM.load(..., adata=)`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model.minify_adata()


def test_a_model_without_cells_is_refused(model, tmp_path):
    model.save(tmp_path / "gim")
    message = (
        "The model has no cells to minify: it was built from a registry, or loaded without cells. "
        "Load it with `adata=`, or save it as it is; predictions need no cells."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        GIM.load(tmp_path / "gim", adata=False).minify_adata()
