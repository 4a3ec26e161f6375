import re
from types import SimpleNamespace

import pytest

from scgim.model.host import _datamodule_checks as v


def _says(message, error=ValueError):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def _module(label_key, continuous):
    fields = {
        "labels": {"state_registry": {"original_key": label_key}},
        "extra_continuous_covs": {"state_registry": {"columns": continuous}},
    }
    return SimpleNamespace(registry={"field_registries": fields}, inference_dataloader=list)


def test_what_is_no_data_module_of_scvi_tools_is_named():
    message = (
        "`datamodule` is a int without 'registry', 'inference_dataloader', but cells are streamed "
        "by a data module of scvi-tools. Pass for example what `GIM.setup_annbatch` gives."
    )
    with _says(message, TypeError):
        v.check_datamodule(3, None)


def test_a_data_module_without_labels_streams_no_perturbations():
    v.check_datamodule(_module("drug", []), None)
    message = (
        "The data module streams no labels, but the labels are the perturbations. Build it with "
        "`labels_key=` (or `label_key=`) naming the column with perturbations."
    )
    with _says(message):
        v.check_datamodule(_module("labels", []), None)


def test_a_dose_that_is_not_streamed_is_named():
    v.check_datamodule(_module("drug", ["dose"]), "dose")
    message = (
        "`dose_key='dose'` is not a continuous covariate of the data module, which has ['age']. "
        "Build it with `continuous_covariate_keys=['dose']`."
    )
    with _says(message):
        v.check_datamodule(_module("drug", ["age"]), "dose")


def test_a_model_without_cells_says_where_to_get_them():
    v.check_has_cells(object())
    message = (
        "The model has no cells: it was built from a registry, or loaded without cells. Pass "
        "`datamodule=` to `GIM.train`, or load it with `adata=`."
    )
    with _says(message, RuntimeError):
        v.check_has_cells(None)
