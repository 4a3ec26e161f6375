import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from scgim.data import ScreenDataModule, StreamedScreen, streamed_keys

spec = importlib.util.spec_from_file_location("streaming", Path(__file__).with_name("streaming.py"))
streaming = importlib.util.module_from_spec(spec)
spec.loader.exec_module(streaming)


@pytest.fixture
def cells(adata):
    adata.obs["dose"] = np.where(adata.obs.drug == "vehicle", 0.0, 0.1)
    adata.obs["age"] = np.arange(adata.n_obs, dtype=float)
    adata.obs["lane"] = np.where(np.arange(adata.n_obs) % 3, "lane_1", "lane_2")
    return adata


@pytest.fixture
def inner(cells):
    return streaming.StreamingModule(
        cells, batch_key="lane", categorical=["lane"], continuous=["age", "dose"]
    )


def test_one_pass_gives_columns_and_totals_of_all_cells(inner, cells):
    streamed = StreamedScreen.read(inner, "dose")
    assert streamed.cells.var_names.tolist() == cells.var_names.tolist()
    for column in ("drug", "lane"):
        assert streamed.cells.obs[column].tolist() == cells.obs[column].tolist()
    np.testing.assert_array_equal(streamed.cells.obs["age"], cells.obs["age"])
    np.testing.assert_allclose(streamed.gene_total, np.asarray(cells.X.sum(0)).ravel())
    assert streamed.median_library == np.median(np.asarray(cells.X.sum(1)).ravel())


def test_doses_are_the_decimals_that_were_written(inner):
    # 0.1 in 32 bits is 0.10000000149, which lies outside a trained range that starts at 0.1.
    assert set(StreamedScreen.read(inner, "dose").cells.obs["dose"]) == {0.0, 0.1}


def test_the_label_of_cells_without_label_is_no_perturbation(inner):
    assert "Unknown" not in StreamedScreen.read(inner, None).cells.obs["drug"].cat.categories


def test_columns_are_named_as_for_cells_in_memory(inner):
    assert streamed_keys(inner, "dose") == {
        "perturbation_key": "drug",
        "batch_key": "lane",
        "categorical_covariate_keys": ["lane"],
        "continuous_covariate_keys": ["age"],
    }


def test_a_minibatch_has_perturbation_and_dose_and_no_size_factor(inner):
    module = ScreenDataModule(inner, {}, "dose")
    batch = module.on_before_batch_transfer(np.arange(5), 0)
    assert set(batch) == {
        "X",
        "batch",
        "extra_categorical_covs",
        "extra_continuous_covs",
        "perturbation",
        "dose",
    }
    torch.testing.assert_close(batch["perturbation"], inner.codes("drug", np.arange(5)))
    assert batch["dose"].shape == batch["extra_continuous_covs"].shape == (5, 1)
    without = ScreenDataModule(inner, {}, None).on_before_batch_transfer(np.arange(5), 0)
    assert without["extra_continuous_covs"].shape == (5, 2)
    assert "dose" not in without


def test_loaders_sizes_and_splits_are_those_of_the_data_module(inner, cells):
    module = ScreenDataModule(inner, {}, "dose")
    assert (module.n_obs, module.n_vars) == cells.shape
    module.set_split(train_size=0.7)
    module.set_batch_size(3)  # this one cannot
    assert inner.split == 0.7
    n_cells = [
        sum(len(rows) for rows in loader)
        for loader in (module.train_dataloader(), module.val_dataloader())
    ]
    assert sum(n_cells) == cells.n_obs
    assert sum(len(batch["X"]) for batch in module.inference_dataloader()) == cells.n_obs
