import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scgim.model import GIM

spec = importlib.util.spec_from_file_location(
    "streaming", Path(__file__).parents[2] / "data/streaming.py"
)
streaming = importlib.util.module_from_spec(spec)
spec.loader.exec_module(streaming)

MODEL = {"n_nodes": 3, "n_hidden": 16, "n_layers": 1}
TRAIN = {"accelerator": "cpu", "enable_progress_bar": False, "batch_size": 64}
CONDITIONS = [("drug_a", 100.0), ("drug_x", 10.0), ("vehicle", 0.0)]
KEYS = {"batch_key": "lane", "categorical": ["donor"], "continuous": ["age", "dose"]}


def stream(adata, **keys):
    return streaming.StreamingModule(adata, **(KEYS | keys))


@pytest.fixture(scope="module")
def screen_module(screen):
    return GIM.setup_datamodule(
        stream(screen), "vehicle", dose_key="dose", features=screen.uns["drug_features"]
    )


@pytest.fixture(scope="module")
def streamed(screen_module):
    model = GIM(registry=screen_module.registry, **MODEL)
    model.train(30, datamodule=screen_module, **TRAIN)
    return model


def test_the_registry_is_that_of_the_same_cells_in_memory(screen, screen_module):
    adata = screen.copy()
    GIM.setup_anndata(
        adata,
        "drug",
        "vehicle",
        dose_key="dose",
        features_key="drug_features",
        batch_key="lane",
        categorical_covariate_keys=["donor"],
        continuous_covariate_keys=["age"],
    )
    inside = GIM(adata, **MODEL)
    outside = GIM(registry=screen_module.registry, **MODEL)
    pd.testing.assert_frame_equal(inside.screen.conditions, outside.screen.conditions)
    assert inside.screen.table.labels == outside.screen.table.labels
    assert inside.screen.batches == outside.screen.batches
    assert inside.screen.categorical_covariates == outside.screen.categorical_covariates
    assert inside.screen.continuous_covariates == outside.screen.continuous_covariates
    for name, value in outside.module.state_dict().items():
        if name in ("decoder.intercept", "median_library"):
            np.testing.assert_allclose(value, inside.module.state_dict()[name], rtol=1e-5)


def test_a_model_is_trained_on_streamed_cells_and_predicts_without_any(streamed):
    assert streamed.adata is None
    assert np.isfinite(streamed.history["shift_r2_validation"].to_numpy(float)).all()
    predicted = streamed.predict(CONDITIONS, n_cells=5, seed=0)
    assert predicted.var_names.tolist() == [f"gene_{i}" for i in range(24)]
    assert not predicted.obs.is_dose_extrapolated.any()
    shift = streamed.predict_shift([("drug_a", 100.0)]).to_df().iloc[0]
    assert shift[[f"gene_{i}" for i in range(8)]].mean() > shift.mean() + 0.2


def test_the_interventions_rest_on_all_cells(streamed, screen):
    assert streamed.fitted.statistics.n_cells.sum() == screen.n_obs
    assert np.isfinite(streamed.get_intervention_targets().effect).all()


def test_a_streamed_model_is_saved_and_meets_cells_in_memory_later(streamed, screen, tmp_path):
    streamed.save(tmp_path / "gim", safe=True)
    loaded = GIM.load(tmp_path / "gim", adata=screen.copy())
    assert loaded.get_latent_representation().shape == (screen.n_obs, 3)
    np.testing.assert_array_equal(
        loaded.predict(CONDITIONS, n_cells=3, seed=0).X.toarray(),
        streamed.predict(CONDITIONS, n_cells=3, seed=0).X.toarray(),
    )


def test_inference_methods_take_the_streamed_cells(streamed, screen_module, screen):
    nodes = streamed.get_latent_representation(dataloader=screen_module.inference_dataloader())
    assert nodes.shape == (screen.n_obs, 3)


def test_a_screen_without_doses_and_features_can_be_streamed(make):
    adata = make(1, doses=(100.0,), combination=False, n_cells=12)
    module = GIM.setup_datamodule(
        stream(adata, batch_key=None, categorical=(), continuous=()), "vehicle"
    )
    model = GIM(registry=module.registry, **MODEL)
    model.train(1, datamodule=module, fix_gauge=False, **TRAIN)
    assert model.predict(["drug_a"], n_cells=2).n_obs == 2


def test_labels_and_doses_are_checked_as_in_memory(screen):
    with pytest.raises(ValueError, match="`control='vehicel'` is not a value of"):
        GIM.setup_datamodule(stream(screen), "vehicel", dose_key="dose")
    with pytest.raises(ValueError, match="is not a continuous covariate of the data module"):
        GIM.setup_datamodule(stream(screen, continuous=["age"]), "vehicle", dose_key="dose")


def test_a_model_without_cells_says_so(screen_module):
    model = GIM(registry=screen_module.registry, **MODEL)
    with pytest.raises(RuntimeError, match="The model has no cells"):
        model.learn_interventions()


# annbatch writes zarr in a way that anndata 0.13 is about to change
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_cells_are_streamed_from_disk_by_annbatch(screen, tmp_path):
    pytest.importorskip("annbatch")
    screen.write_h5ad(tmp_path / "screen.h5ad")
    module = GIM.setup_annbatch(
        collection_path=str(tmp_path / "cells.zarr"),
        paths=[str(tmp_path / "screen.h5ad")],
        labels_key="drug",
        batch_key="lane",
        continuous_covariate_keys=["dose"],
        batch_size=64,
        chunk_size=16,
        preload_nchunks=8,
        preload_to_gpu=False,
        shuffle=True,
    )
    screen_module = GIM.setup_datamodule(
        module, "vehicle", dose_key="dose", features=screen.uns["drug_features"]
    )
    model = GIM(registry=screen_module.registry, **MODEL)
    model.train(80, datamodule=screen_module, train_size=0.8, **TRAIN)
    assert model.fitted.statistics.n_cells.sum() == screen.n_obs
    shift = model.predict_shift([("drug_a", 100.0)]).to_df().iloc[0]
    assert shift[[f"gene_{i}" for i in range(8)]].mean() > shift.mean() + 0.2
