import numpy as np
import pytest
import torch
from fixtures.saved_files import seal
from safetensors.torch import load_file, save_file

from scgim.model import GIM
from scgim.model.host import _saved_checks as checks


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "gim")
    return tmp_path / "gim"


def refuse(folder, match):
    with pytest.raises(ValueError, match=f"is damaged: {match}"):
        GIM.load(folder, adata=False)


def change_weights(folder, change):
    path = folder / "weights.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
    seal(folder)


def set_entry(folder, *keys, value):
    """Change an entry of the attributes, named by its keys from outside inwards."""

    def change(description):
        place = description["attributes"]
        for key in keys:
            pair = next(pair for pair in place["$dict"] if pair[0] == key)
            place = pair[1]
        pair[1] = value

    seal(folder, change=change)


def add_attribute(folder, name, value):
    seal(folder, change=lambda d: d["attributes"]["$dict"].append([name, value]))


def test_a_folder_that_was_sealed_again_loads(folder):
    seal(folder)
    assert GIM.load(folder, adata=False).is_trained_


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_weights_of_another_precision_are_refused(folder, dtype):
    def change(weights):
        name = max(weights, key=lambda key: weights[key].numel())
        weights[name] = weights[name].to(dtype)

    change_weights(folder, change)
    refuse(folder, r"the tensor '.*' is .*, and the model of the description has float32")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(folder, value):
    def change(weights):
        max(weights.values(), key=torch.numel).view(-1)[3] = value

    change_weights(folder, change)
    refuse(folder, "the tensor '.*' has values that are not finite")


def test_weights_of_another_shape_are_refused(folder):
    def change(weights):
        name = max(weights, key=lambda key: weights[key].numel())
        weights[name] = weights[name][:-1].clone()

    change_weights(folder, change)
    refuse(folder, "the tensor '.*' is float32 of shape .*, and the model of the description has")


def test_missing_and_unknown_weights_are_named(folder):
    change_weights(folder, lambda weights: weights.update(extra=torch.ones(2)))
    refuse(folder, "it has a tensor 'extra', which this model has not")
    change_weights(folder, lambda weights: (weights.pop("extra"), weights.popitem()))
    refuse(folder, "the tensor '.*' is missing")


@pytest.mark.parametrize("name", checks.NEEDED)
def test_empty_attributes_are_named(folder, name):
    set_entry(folder, name, value=None)
    refuse(folder, f"the attribute '{name}' is (empty|missing)")


@pytest.mark.parametrize("key", ["setup_args", "field_registries", "model_name"])
def test_an_empty_entry_of_the_registry_is_named(folder, key):
    set_entry(folder, "registry_", key, value=None)
    if key == "model_name":
        assert GIM.load(folder, adata=False).is_trained_
    else:
        refuse(folder, "no model can be made of it")


@pytest.mark.parametrize("key", ["statistics", "calibration", "gauge"])
def test_an_empty_entry_of_what_was_learned_never_breaks_loading(folder, key):
    set_entry(folder, "fitted_", key, value=7)
    refuse(folder, f"the attribute '{key}' is int, not dict")


def test_statistics_of_unlike_shapes_are_refused(folder):
    set_entry(folder, "fitted_", "statistics", "label", value={"$objects": [], "shape": [0]})
    refuse(folder, "the statistics 'label' are ndarray, not numbers of each row")
    arrays = load_file(folder / "arrays.safetensors")
    empty = next(name for name in arrays if "trained_log10_ec50" in name)
    set_entry(folder, "fitted_", "statistics", "label", value={"$array": empty})
    refuse(folder, "its statistics have unlike rows")


def test_named_nodes_that_are_empty_are_refused(genes_model, tmp_path):
    genes_model.save(tmp_path / "gim")
    set_entry(tmp_path / "gim", "fitted_", "named_nodes", "model", value=None)
    refuse(tmp_path / "gim", "no model can be made of it")


@pytest.mark.parametrize("size", [10**12, 10**30, -1, 1e300])
@pytest.mark.parametrize(
    "place",
    [
        ("registry_", "field_registries", "X", "summary_stats", "n_vars"),
        ("registry_", "field_registries", "batch", "summary_stats", "n_batch"),
        ("init_params_", "non_kwargs", "n_nodes"),
        ("init_params_", "non_kwargs", "n_hidden"),
        ("init_params_", "non_kwargs", "n_layers"),
    ],
    ids=lambda place: place[-1],
)
def test_sizes_that_the_files_cannot_hold_are_refused(folder, place, size):
    set_entry(folder, *place, value=size)
    refuse(folder, f"'{place[-1]}' is .*, which its files of [0-9]+ bytes cannot hold")


def test_a_size_that_the_weights_do_not_have_is_refused_without_memory_for_it(folder):
    # 20,000 x 20,000 weights would be 1.6 GB
    set_entry(folder, "init_params_", "non_kwargs", "n_hidden", value=20_000)
    refuse(folder, "the tensor '.*' is float32 of shape")


@pytest.mark.parametrize(
    "name", ["save", "predict", "__class__", "fitted", "module", "_fitted", "__dict__"]
)
def test_attributes_that_replace_parts_of_a_model_are_refused(folder, name):
    add_attribute(folder, name, 1)
    refuse(folder, f"it has an attribute '{name}', which would replace a part of GIM")


def test_an_attribute_that_shadows_a_method_is_refused_also_with_an_underscore(folder, monkeypatch):
    monkeypatch.setattr(GIM, "forecast_", lambda self: None, raising=False)
    add_attribute(folder, "forecast_", 1)
    refuse(folder, "it has an attribute 'forecast_'")


def test_an_attribute_of_the_user_comes_back(model, tmp_path):
    model.note_ = "trained on Monday"
    try:
        model.save(tmp_path / "gim")
    finally:
        del model.note_
    assert GIM.load(tmp_path / "gim", adata=False).note_ == "trained on Monday"


def test_loading_leaves_the_random_state_as_making_a_model_does(folder):
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        GIM.load(folder, adata=False)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
