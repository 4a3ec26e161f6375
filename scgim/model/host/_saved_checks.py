"""Checks on what the files of a saved model say, before a model is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scgim.model.host._file_checks import describe_damage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

# Attributes that a model of this package or of scvi-tools has, and what they are.
KINDS: dict[str, tuple[type, ...]] = {
    "fitted_": (dict, type(None)),
    "format_version_": (int,),
    "get_normalized_function_name_": (str,),
    "history_": (dict, type(None)),
    "init_params_": (dict,),
    "is_trained_": (bool,),
    "node_names_": (list,),
    "registry_": (dict,),
    "run_id_": (str, type(None)),
    "run_name_": (str, type(None)),
    "test_indices_": (np.ndarray, type(None)),
    "train_indices_": (np.ndarray, type(None)),
    "validation_indices_": (np.ndarray, type(None)),
}
NEEDED = ("registry_", "init_params_", "is_trained_", "node_names_")
FIT_KINDS: dict[str, tuple[type, ...]] = {
    "statistics": (dict,),
    "calibration": (dict,),
    "reference": (dict, type(None)),
    "gauge": (dict, type(None)),
    "named_nodes": (dict, type(None)),
}
# Statistics of the training cells whose rows are the same conditions, and the same control cells.
SAME_ROWS = (
    ("label", "dose", "n_cells", "residual", "expression_mean", "expression_variance"),
    ("control_library", "control_batch", "control_categories", "control_continuous"),
)
# No model has so many layers; each costs time to make.
MAX_LAYERS = 100


def check_attributes(attributes: Mapping[str, Any], model_class: type, path: Path) -> None:
    """Raise where saved attributes are not those of a model, or would replace its methods.

    Parameters
    ----------
    attributes
        Attributes in the newest format, by name.
    model_class
        Class that is to get them.
    path
        File that they come from.
    """
    missing = [name for name in NEEDED if name not in attributes]
    if missing:
        raise ValueError(describe_damage(path, f"the attribute {missing[0]!r} is missing"))
    for name in attributes:
        if not _is_free(name, model_class):
            what = f"it has an attribute {name!r}, which would replace a part of {model_class.__name__}"
            raise ValueError(describe_damage(path, what))
    _check_kinds(attributes, KINDS, path)
    fitted = attributes.get("fitted_")
    if fitted is not None:
        _check_kinds(fitted, FIT_KINDS, path)
        for part in ("statistics", "reference"):
            if fitted.get(part) is not None:
                _check_statistics(fitted[part], len(attributes["node_names_"]), path)


def _check_kinds(
    values: Mapping[str, Any], kinds_of: Mapping[str, tuple[type, ...]], path: Path
) -> None:
    for name, value in values.items():
        kinds = kinds_of.get(name)
        if kinds is not None and not isinstance(value, kinds):
            what = f"the attribute {name!r} is {_kind_of(value)}, not {kinds[0].__name__}"
            raise ValueError(describe_damage(path, what))


def _check_statistics(statistics: Mapping[str, Any], n_nodes: int, path: Path) -> None:
    for names in SAME_ROWS:
        arrays: dict[str, Any] = {name: statistics.get(name) for name in names}
        for name, array in arrays.items():
            if (
                not isinstance(array, np.ndarray)
                or array.dtype.kind not in "biuf"
                or not array.ndim
            ):
                what = f"the statistics {name!r} are {_kind_of(array)}, not numbers of each row"
                raise ValueError(describe_damage(path, what))
        n_rows = {name: len(array) for name, array in arrays.items()}
        if len(set(n_rows.values())) > 1:
            raise ValueError(describe_damage(path, f"its statistics have unlike rows, {n_rows}"))
    residual = statistics["residual"]
    if residual.shape[1:] != (n_nodes,) or not np.isfinite(residual).all():
        what = f"the statistics 'residual' are not finite numbers of {n_nodes} nodes"
        raise ValueError(describe_damage(path, what))


def _is_free(name: object, model_class: type) -> bool:
    if not isinstance(name, str) or not name.endswith("_") or name.startswith("__"):
        return False
    return name in KINDS or not hasattr(model_class, name)


def _kind_of(value: object) -> str:
    return "empty" if value is None else type(value).__name__


def check_var_names(var_names: object, path: Path) -> None:
    """Raise unless names of genes, or of the variables of each modality, are text.

    Parameters
    ----------
    var_names
        What was saved.
    path
        File that they come from.
    """
    groups = list(var_names.values()) if isinstance(var_names, dict) else [var_names]
    is_text = all(
        isinstance(names, np.ndarray)
        and names.ndim == 1
        and all(isinstance(name, str) for name in names)
        for names in groups
    )
    if not is_text:
        raise ValueError(describe_damage(path, "its names of genes are not text"))


def check_sizes(attributes: Mapping[str, Any], n_bytes: int, path: Path) -> None:
    """Raise where the description asks for more genes, nodes or layers than the files can hold.

    Parameters
    ----------
    attributes
        Attributes in the newest format, by name.
    n_bytes
        Size of all files of the model: each gene, category and node takes at least a byte of it.
    path
        File that they come from.
    """
    registries = _as_dict(attributes["registry_"].get("field_registries"))
    sizes = {
        name: size
        for field in registries.values()
        for name, size in _as_dict(_as_dict(field).get("summary_stats")).items()
        if name != "n_cells"  # for which no memory is set aside
    }
    sizes |= _as_dict(attributes["init_params_"].get("non_kwargs"))
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | float):
            continue
        largest = MAX_LAYERS if name == "n_layers" else n_bytes
        if not 0 <= size <= largest:
            what = f"{name!r} is {size}, which its files of {n_bytes} bytes cannot hold"
            raise ValueError(describe_damage(path, what))


def _as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def check_weights(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Raise where weights are not those of the model that the description makes.

    Parameters
    ----------
    found
        Weights that were saved.
    expected
        Weights of a model made from the description, of any values.
    path
        File of the weights.
    """
    for name in (*expected, *found):
        if name not in found:
            raise ValueError(describe_damage(path, f"the tensor {name!r} is missing"))
        if name not in expected:
            what = f"it has a tensor {name!r}, which this model has not"
            raise ValueError(describe_damage(path, what))
        saved, made = found[name], expected[name]
        if saved.shape != made.shape or saved.dtype != made.dtype:
            what = (
                f"the tensor {name!r} is {_describe(saved)}, and the model of the description has "
                f"{_describe(made)}"
            )
            raise ValueError(describe_damage(path, what))
        is_new = saved.device.type == "meta"  # what this version adds to an earlier one's weights
        if not is_new and not bool(torch.isfinite(saved).all()):
            what = f"the tensor {name!r} has values that are not finite"
            raise ValueError(describe_damage(path, what))


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
