import contextlib
import copy
import os
import pickle
import signal

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from lightning.pytorch.callbacks import Callback

from scgim.model import GIM
from scgim.module import GIMModule

SETUP = {"dose_key": "dose", "features_key": "drug_features"}


def _expression(prediction):
    return prediction.X.toarray() if sp.issparse(prediction.X) else np.asarray(prediction.X)


def _predict(model, conditions=(("drug_a", 1.0), ("vehicle", 0.0)), **kwargs):
    return _expression(model.predict(list(conditions), n_cells=4, seed=1, **kwargs))


def test_setup_changes_nothing_but_the_entries_of_scvi(screen, adata, assert_same):
    GIM.setup_anndata(adata, "drug", "vehicle", **SETUP, batch_key="lane")
    assert_same(screen, adata)


def test_training_predicting_and_reading_change_nothing_either(screen, adata, trained, assert_same):
    model = trained(adata)
    model.predict([("drug_a", 1.0)], n_cells=3)
    model.predict([("drug_a", 1.0)], adata=adata[adata.obs.drug == "vehicle"].copy())
    model.get_intervention_targets()
    model.get_latent_representation()
    assert_same(screen, adata)


def test_model_says_what_it_is(model):
    assert "GIM with 3 nodes, causal_space: programs, gene_likelihood: nb" in str(
        model._model_summary_string
    )


def test_held_out_score_and_evidence_lower_bound_are_recorded(model):
    assert np.isfinite(model.history["shift_r2_validation"].to_numpy(float)).all()
    assert np.isfinite(model.history["elbo_validation"].to_numpy(float)).all()
    assert len(model.history["elbo_train"]) == len(model.history["elbo_validation"]) > 5


@pytest.mark.parametrize("gene_likelihood", ["zinb", "poisson"])
def test_count_likelihoods_train_and_sample_counts(adata, trained, gene_likelihood):
    model = trained(adata, model={"gene_likelihood": gene_likelihood})
    counts = _predict(model)
    assert (counts >= 0).all()
    np.testing.assert_array_equal(counts, counts.round())


def test_normal_likelihood_stays_in_the_space_of_the_data(adata, trained):
    adata.X = np.asarray(adata.X.todense()) / 10.0 - 3.0
    model = trained(adata, model={"gene_likelihood": "normal"}, max_epochs=2)
    predicted = _predict(model, [("vehicle", 0.0)] * 50)
    control = adata.X[(adata.obs.drug == "vehicle").to_numpy()]
    assert np.abs(predicted.mean(0) - control.mean(0)).mean() < 0.5
    assert (predicted < 0).any()


def test_latent_space_has_a_neural_decoder_and_the_same_methods(adata, trained):
    model = trained(adata, model={"causal_space": "latent"})
    assert _predict(model).shape == (8, adata.n_vars)
    assert model.get_gene_programs().shape == (adata.n_vars, 3)


def test_free_dose_response_is_the_control_at_dose_zero(adata, trained):
    model = trained(adata, model={"dose_response": "free"})
    zero, control = (_predict(model, [c]) for c in (("drug_a", 0.0), ("vehicle", 0.0)))
    np.testing.assert_array_equal(zero, control)
    assert model.get_dose_response().attrs == {"ec50": {}, "hill": {}}


def warns_of_speed(kind):
    """scvi says that CSR is faster; it trains on CSC all the same."""
    if kind == "csc":
        return pytest.warns(UserWarning, match="faster when sparse matrix is formatted as CSR")
    return contextlib.nullcontext()


@pytest.mark.parametrize("kind", ["csc", "dense", "float64", "integer", "layer"])
def test_storage_of_the_counts_does_not_matter(make, trained, kind):
    def predict(adata, **setup):
        torch.manual_seed(0)
        return _predict(trained(adata, setup=setup), output="normalized")

    adata, setup = make(3), {}
    if kind == "csc":
        adata.X = sp.csc_matrix(adata.X)
    elif kind == "dense":
        adata.X = adata.X.toarray()
    elif kind == "float64":
        adata.X = adata.X.astype(np.float64)
    elif kind == "integer":
        adata.X = adata.X.astype(np.int32)
    else:
        adata.layers["counts"] = adata.X.copy()
        adata.X = adata.X * 0.123
        setup = {"layer": "counts"}
    with warns_of_speed(kind):
        predicted = predict(adata, **setup)
    np.testing.assert_allclose(predicted, predict(make(3)), rtol=0.01)


def test_views_get_the_message_of_scvi(adata):
    with pytest.raises(ValueError, match=r"Please run `adata = adata.copy\(\)`"):
        GIM.setup_anndata(adata[:100], "drug", "vehicle", **SETUP)


def test_backed_cells_can_be_predicted(model, screen, tmp_path):
    screen[screen.obs.drug == "vehicle"].copy().write_h5ad(tmp_path / "control.h5ad")
    backed = ad.read_h5ad(tmp_path / "control.h5ad", backed="r")
    in_memory = screen[screen.obs.drug == "vehicle"].copy()
    conditions = [("drug_b", 10.0)]
    from_file = model.predict(conditions, adata=backed, output="normalized")
    from_memory = model.predict(conditions, adata=in_memory, output="normalized")
    np.testing.assert_allclose(from_file.X, from_memory.X, rtol=1e-5)
    backed.file.close()


def test_saved_model_predicts_the_same_without_and_with_cells(model, screen, tmp_path):
    model.save(str(tmp_path / "gim"))
    expected = _predict(model, [("drug_a", 1.0), ("drug_x", 5.0), ("drug_a+drug_c", 2.0)])
    targets = model.get_intervention_targets()
    for adata in (False, screen.copy()):
        loaded = GIM.load(str(tmp_path / "gim"), adata=adata)
        same = _predict(loaded, [("drug_a", 1.0), ("drug_x", 5.0), ("drug_a+drug_c", 2.0)])
        np.testing.assert_array_equal(same, expected)
        pd.testing.assert_frame_equal(loaded.get_intervention_targets(), targets)
        pd.testing.assert_frame_equal(loaded.get_causal_graph(), model.get_causal_graph())
        shift = loaded.predict_shift([("drug_x", 5.0)])
        np.testing.assert_allclose(shift.X, model.predict_shift([("drug_x", 5.0)]).X)
    np.testing.assert_allclose(
        loaded.get_latent_representation(), model.get_latent_representation(), rtol=1e-5
    )


def test_saved_model_can_bring_its_cells(plain_model, tmp_path):
    plain_model.save(str(tmp_path / "gim"), save_anndata=True)
    loaded = GIM.load(str(tmp_path / "gim"))
    np.testing.assert_array_equal(_predict(loaded, ["drug_a"]), _predict(plain_model, ["drug_a"]))


def test_a_model_can_be_built_from_a_registry_alone(model):
    from_registry = GIM(registry=model.registry_, n_nodes=3, n_hidden=16, n_layers=1)
    assert from_registry.screen.table.perturbations == model.screen.table.perturbations
    from_registry.module.load_state_dict(model.module.state_dict())
    with pytest.raises(RuntimeError, match=r"Call `GIM\.train` first"):
        from_registry.predict(["drug_a"])


def test_two_models_with_different_vocabularies_do_not_touch_each_other(model, make, trained):
    conditions = [("drug_a", 1.0), ("drug_a+drug_c", 10.0)]
    before = _predict(model, conditions)
    other_screen = make(5, drugs=("other_1", "drug_a", "other_2", "other_3"), combination=False)
    other = trained(other_screen, model={"n_nodes": 2})
    assert other.screen.table.perturbations == ("drug_a", "other_1", "other_2", "other_3")
    _predict(other, [("other_1", 1.0)])
    np.testing.assert_array_equal(_predict(model, conditions), before)
    with pytest.raises(ValueError, match="'other_1' was not in training"):
        model.predict([("other_1", 1.0)])


def test_a_screen_without_doses_and_features_can_be_trained(plain_model):
    assert _predict(plain_model, ["drug_a", "vehicle", "drug_a+drug_b"]).shape == (12, 24)
    assert plain_model.predict(["drug_a"], n_cells=1).obs.columns[0] == "drug"


def test_a_screen_with_features_and_without_doses_can_be_trained(make, trained):
    adata = make(6, doses=(100.0,), combination=False, n_cells=12)
    model = trained(adata, setup={"dose_key": None})
    assert np.isfinite(_predict(model, ["drug_x"], output="nodes")).all()
    targets = model.get_intervention_targets(["drug_a", "drug_x"])
    assert np.isfinite(targets[["effect", "lower", "upper", "probability"]].to_numpy()).all()


def test_one_perturbation_is_enough_with_a_warning(make, trained):
    adata = make(7, drugs=("drug_a",), combination=False)
    with pytest.warns(UserWarning, match=r"The screen has one perturbation, 'drug_a'\."):
        model = trained(adata)
    assert np.isfinite(_predict(model)).all()


def test_combinations_only_are_enough(make, trained):
    adata = make(8)
    kept = adata.obs.drug.isin(["vehicle", "drug_a+drug_b", "drug_c"])
    model = trained(adata[kept].copy())
    assert model.screen.table.perturbations == ("drug_a", "drug_b", "drug_c")
    assert np.isfinite(_predict(model, [("drug_b", 10.0)])).all()


def test_program_mask_names_the_nodes_and_limits_their_genes(make, trained):
    adata = make(9)
    mask = np.eye(3, dtype=int).repeat(8, 0)
    adata.varm["pathways"] = pd.DataFrame(
        mask, index=adata.var_names, columns=["MAPK", "p53", "NFkB"]
    )
    model = trained(adata, setup={"program_mask_key": "pathways"}, fix_gauge=True)
    assert model.get_causal_graph().index.tolist() == ["MAPK", "p53", "NFkB"]
    programs = model.module.decoder.programs.detach().numpy()
    np.testing.assert_array_equal(programs[mask == 0], 0)


def test_training_leaves_the_random_state_of_numpy_alone(adata, trained):
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the state that must not change
    trained(adata)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


class _BreakWeights(Callback):
    def __init__(self, epoch):
        self._epoch = epoch

    def on_train_epoch_start(self, trainer, plan):
        if trainer.current_epoch == self._epoch:
            with torch.no_grad():
                plan.module.decoder.intercept.fill_(torch.nan)


class _Interrupt(Callback):
    def __init__(self, epoch):
        self._epoch = epoch

    def on_train_epoch_start(self, trainer, plan):
        if trainer.current_epoch == self._epoch:
            raise KeyboardInterrupt


def test_a_loss_that_is_not_finite_names_epoch_and_condition_and_keeps_a_usable_model(
    adata, trained, tmp_path
):
    GIM.setup_anndata(adata, "drug", "vehicle", **SETUP)
    model = GIM(adata, n_nodes=3, n_hidden=16, n_layers=1)
    message = (
        r"^The loss became non-finite in epoch 1, first in a cell of '[a-z_+]+'\. The model keeps "
        r"its weights of the last finite epoch and can be used and saved\. Check the expression of "
        r"these cells, or train with a smaller step, `plan_kwargs=\{'lr': 1e-3\}`\.$"
    )
    options = {"accelerator": "cpu", "batch_size": 64, "enable_progress_bar": False}
    with pytest.raises(RuntimeError, match=message):
        model.train(3, fix_gauge=False, callbacks=[_BreakWeights(1)], **options)
    assert all(parameter.isfinite().all() for parameter in model.module.parameters())
    expected = _predict(model)
    model.save(str(tmp_path / "kept"))
    np.testing.assert_array_equal(_predict(GIM.load(str(tmp_path / "kept"), adata=False)), expected)


def test_an_interruption_keeps_the_model_trained_so_far(adata, trained, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    message = (
        r"^Training was interrupted after 2 of 5 epochs\. The model keeps what it has learned so "
        r"far and can be used and saved\. It keeps the weights of epoch [12] of 2(, the best)? "
        r"\(score on held-out conditions -?\d+\.\d\d.*\)\.$"
    )
    with pytest.warns(UserWarning, match=message):
        model = trained(adata, max_epochs=5, callbacks=[_Interrupt(2)])
    assert signal.getsignal(signal.SIGINT) is handler
    expected = _predict(model)
    model.save(str(tmp_path / "kept"))
    np.testing.assert_array_equal(_predict(GIM.load(str(tmp_path / "kept"), adata=False)), expected)


@pytest.fixture
def interrupts_are_heard():
    """What a shell starts in the background ignores Ctrl-C, and Python then does too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts_are_heard")
def test_a_real_interrupt_signal_is_kept_from_the_user_too(adata, trained):
    class _Signal(Callback):
        def on_train_batch_start(self, trainer, plan, batch, batch_idx):
            if trainer.current_epoch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted after 1 of 3 epochs"):
        model = trained(adata, max_epochs=3, callbacks=[_Signal()])
    assert np.isfinite(_predict(model)).all()


def test_an_error_of_a_callback_is_not_swallowed(adata, trained):
    class _Fail(Callback):
        def on_train_epoch_start(self, trainer, plan):
            message = "of the user"
            raise OSError(message)

    with pytest.raises(OSError, match="of the user"):
        trained(adata, callbacks=[_Fail()])


def test_cells_of_new_perturbations_can_be_encoded(model, screen):
    new = screen[screen.obs.drug == "drug_a"].copy()
    new.obs["drug"] = "never seen"
    nodes = model.get_latent_representation(new)
    expected = model.get_latent_representation()[(screen.obs.drug == "drug_a").to_numpy()]
    np.testing.assert_allclose(nodes, expected, rtol=1e-4, atol=1e-5)


def test_normalized_expression_is_that_of_scvi_and_sums_to_the_library(model):
    share = model.get_normalized_expression(library_size=1e4)
    np.testing.assert_allclose(share.sum(axis=1), 1e4, rtol=1e-4)
    assert list(share.columns) == list(model.adata.var_names)


def test_posterior_predictive_samples_are_counts(model):
    samples = model.posterior_predictive_sample(indices=np.arange(20), n_samples=2)
    dense = np.asarray(samples.todense())
    assert dense.shape == (20, model.adata.n_vars, 2)
    np.testing.assert_array_equal(dense, dense.round())


def test_evidence_lower_bound_is_finite_and_above_an_untrained_one(model, adata):
    GIM.setup_anndata(adata, "drug", "vehicle", **SETUP)
    untrained = GIM(adata, n_nodes=3, n_hidden=16, n_layers=1)
    untrained.is_trained_ = True
    trained_value, untrained_value = float(model.get_elbo()), float(untrained.get_elbo())
    assert np.isfinite(trained_value)
    assert trained_value > untrained_value
    assert np.isfinite(float(model.get_reconstruction_error()["reconstruction_loss"]))


def test_differential_expression_of_scvi_compares_drugs(model):
    table = model.differential_expression(
        groupby="drug", group1="drug_a", group2="vehicle", mode="change", silent=True
    )
    assert set(table.index) == set(model.adata.var_names)
    assert np.isfinite(table["lfc_mean"]).all()


def test_training_again_goes_on_from_the_present_weights(make, trained):
    model = trained(make(12), max_epochs=3)
    before = float(model.get_elbo())
    model.train(3, accelerator="cpu", batch_size=64, enable_progress_bar=False, fix_gauge=False)
    assert float(model.get_elbo()) > before


def test_new_cells_can_be_mapped_on_a_trained_model(model, make):
    query = make(11, n_control=30, n_cells=2)
    query.obs["lane"] = "lane_9"
    mapped = GIM.load_query_data(query, model)
    assert mapped.module.mechanism.adjacency.shape == (3, 3)
    options = {"accelerator": "cpu", "enable_progress_bar": False, "fix_gauge": False}
    mapped.train(1, plan_kwargs={"weight_decay": 0.0}, **options)
    assert mapped.get_latent_representation(query).shape == (query.n_obs, 3)


def test_a_subclass_names_the_module_it_is_built_of(screen):
    class OtherModule(GIMModule):
        pass

    class OtherGIM(GIM):
        _module_cls = OtherModule

    adata = screen.copy()
    OtherGIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose")
    assert type(OtherGIM(adata, n_nodes=2).module) is OtherModule


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_a_trained_model_can_be_copied_pickled_and_trained_on(screen, trained, copied):
    model = trained(screen.copy())
    expected = model.predict_shift([("drug_a", 10.0)]).X.copy()
    again = copied(model)
    np.testing.assert_array_equal(again.predict_shift([("drug_a", 10.0)]).X, expected)
    np.testing.assert_array_equal(
        again.get_latent_representation(), model.get_latent_representation()
    )
    again.train(1, accelerator="cpu", enable_progress_bar=False)
    np.testing.assert_array_equal(model.predict_shift([("drug_a", 10.0)]).X, expected)
