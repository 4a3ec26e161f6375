"""A mechanism from outside the package, through everything that a user does with a model."""

import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from fixtures.mechanisms import Saturating, Shrunken

from scgim.model import GIM, GraphSearch
from scgim.scm import set_node

GENES = ["first", "second", "third"]
DRUGS = [f"drug_{i}" for i in range(12)]
SLOPE = 2.0


def make_panel():
    """second and third follow first through 2 tanh and -tanh; each drug shifts one gene."""
    rng = np.random.default_rng(0)
    design = [("vehicle", 0.0)] * 600 + [
        (d, x) for d in DRUGS for x in (0.5, 1.0, 2.0) for _ in range(60)
    ]
    obs = pd.DataFrame(design, columns=["drug", "dose"])
    obs.index = obs.index.map(str)
    target = np.array([DRUGS.index(d) % 3 if d in DRUGS else -1 for d in obs.drug])
    shift = 6 * obs.dose / (obs.dose + 1)
    nodes = rng.standard_normal((len(obs), 3))
    nodes += (target[:, None] == np.arange(3)) * shift.to_numpy()[:, None]
    nodes[:, 1] += SLOPE * np.tanh(nodes[:, 0])
    nodes[:, 2] -= np.tanh(nodes[:, 0])
    adata = ad.AnnData(nodes, obs=obs, var=pd.DataFrame(index=GENES))
    features = np.eye(3)[np.arange(len(DRUGS) + 1) % 3] + rng.normal(0, 0.05, (len(DRUGS) + 1, 3))
    adata.uns["features"] = pd.DataFrame(features, index=[*DRUGS, "unseen"], columns=list("abc"))
    return adata


@pytest.fixture(scope="module")
def panel():
    adata = make_panel()
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose", features_key="features")
    return adata


def train(panel, **options):
    model = GIM(panel, causal_space="genes", gene_likelihood="normal", **options)
    model.train(search=GraphSearch(n_restarts=2), enable_progress_bar=False)
    return model


@pytest.fixture(scope="module")
def model(panel):
    return train(panel, mechanism=Saturating)


def second_after(model, value):
    """Mean of the second gene in cells whose first gene is set."""
    return model.do({"first": set_node(value)}, n_cells=4000, seed=0)[:, "second"].X.mean()


def test_graph_and_targets_are_found(model):
    graph = model.get_causal_graph()
    assert (graph.to_numpy() != 0).nonzero()[0].tolist() == [0, 0]
    targets = model.get_intervention_targets().query("is_target")
    assert len(targets) == len(DRUGS)
    expected = [GENES[DRUGS.index(drug) % 3] for drug in targets.perturbation]
    assert targets.node.tolist() == expected


def test_predictions_follow_the_mechanism_beyond_the_doses_of_training(panel, model):
    far = 30.0
    assert second_after(model, far) == pytest.approx(SLOPE, abs=0.25)
    assert second_after(train(panel), far) > 2 * SLOPE


def test_unseen_drugs_are_predicted_from_their_features(model):
    shift = model.predict_shift([("unseen", 1.0)]).X[0]
    alike = model.predict_shift([("drug_0", 1.0)]).X[0]
    np.testing.assert_allclose(shift, alike, atol=0.3)
    assert np.isfinite(model.predict([("unseen", 1.0)], n_cells=20, seed=0).X).all()


def test_a_control_cell_comes_back_as_it_was(panel, model):
    cells = panel[panel.obs.drug == "vehicle"][:20].copy()
    same = model.predict([("vehicle", 0.0)], adata=cells)
    np.testing.assert_allclose(same.X, cells.X, atol=1e-5)


@pytest.mark.parametrize("safe", [False, True])
def test_a_saved_model_predicts_the_same(model, tmp_path, safe):
    model.save(tmp_path / "gim", safe=safe)
    loaded = GIM.load(tmp_path / "gim", adata=False, accelerator="cpu", safe=safe)
    assert type(loaded.module.mechanism) is Saturating
    assert loaded.init_params_["non_kwargs"]["mechanism"] == "fixtures.mechanisms:Saturating"
    conditions = [("drug_1", 1.5), ("unseen", 0.7)]
    np.testing.assert_array_equal(
        loaded.predict_shift(conditions).X, model.predict_shift(conditions).X
    )
    pd.testing.assert_frame_equal(
        loaded.get_intervention_targets(), model.get_intervention_targets()
    )


def test_loading_without_its_module_says_which_one_to_import(model, tmp_path):
    model.save(tmp_path / "pickled")
    model.save(tmp_path / "safe", safe=True)
    code = f"""
from scgim.model import GIM
for name in ("pickled", "safe"):
    try:
        GIM.load(f"{tmp_path}/{{name}}", adata=False, accelerator="cpu")
    except ValueError as error:
        print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.count("Run `import fixtures.mechanisms` first if you trust it") == 2


def test_the_name_that_was_saved_can_be_passed_too(panel, model):
    again = GIM(
        panel,
        causal_space="genes",
        gene_likelihood="normal",
        mechanism="fixtures.mechanisms:Saturating",
    )
    assert type(again.module.mechanism) is Saturating


def test_counts_take_mechanisms_that_need_the_covariance_alone(
    train_genes, gene_counts, counts_setup, counts_model
):
    shrunken = train_genes(
        gene_counts.copy(), setup=counts_setup, gene_likelihood="poisson", mechanism=Shrunken
    )
    found, full = (one.get_causal_graph().to_numpy() for one in (shrunken, counts_model))
    np.testing.assert_allclose(found, 0.9 * full, rtol=1e-5)
    with pytest.raises(ValueError, match="reads every cell, but in counts"):
        train_genes(
            gene_counts.copy(),
            setup=counts_setup,
            gene_likelihood="poisson",
            mechanism=Saturating,
        )


def test_mechanisms_of_named_genes_keep_their_numbers_in_float64(model):
    assert {tensor.dtype for tensor in model.module.mechanism.state_dict().values()} == {
        torch.float64,
        torch.bool,
    }


def make_masked(make):
    adata = make(31)
    mask = np.eye(3, dtype=int).repeat(8, 0)
    adata.varm["mask"] = pd.DataFrame(mask, index=adata.var_names, columns=["p", "q", "r"])
    return adata


def test_programs_that_a_mask_names_can_have_it_too(make, trained, tmp_path):
    adata = make_masked(make)
    options = {"mechanism": Saturating}
    model = trained(adata, setup={"program_mask_key": "mask"}, model=options, max_epochs=40)
    model.fix_gauge()
    weight = model.module.mechanism.weight.detach()
    assert weight.triu(1).count_nonzero() == 3
    assert not weight.tril().any()
    graph = model.get_causal_graph().to_numpy()
    assert (np.sign(graph) == np.sign(weight.triu(1).numpy())).all()
    assert (np.abs(graph) < weight.abs().numpy() + 1e-6).all()
    conditions = [("drug_a", 1.0), ("drug_x", 10.0)]
    shift = model.predict_shift(conditions).X
    assert np.abs(shift[0]).max() > 0.1
    model.save(tmp_path / "gim")
    loaded = GIM.load(tmp_path / "gim", adata=False, accelerator="cpu")
    np.testing.assert_array_equal(loaded.predict_shift(conditions).X, shift)
    pd.testing.assert_frame_equal(loaded.get_causal_graph(), model.get_causal_graph())


@pytest.mark.parametrize("space", ["programs", "latent"])
def test_a_free_basis_has_linear_mechanisms_only(make, space):
    adata = make(31) if space == "programs" else make_masked(make)
    mask_key = None if space == "programs" else "mask"
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose", program_mask_key=mask_key)
    message = (
        r"`mechanism=Saturating` is not a `scgim\.scm\.LinearMechanism`, but .* basis of the nodes"
    )
    with pytest.raises(ValueError, match=message):
        GIM(adata, causal_space=space, mechanism=Saturating)
