from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as pack_arrays
from safetensors.torch import load_file as load_weights
from safetensors.torch import save as pack_weights

from scgim.model.host._file_checks import (
    check_files_present,
    check_format_version,
    describe_damage,
    describe_unsupported,
)
from scgim.model.host._saved_checks import check_var_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

FORMAT_VERSION = 2
DESCRIPTION_NAME = "scgim.json"
WEIGHTS_NAME = "weights.safetensors"
ARRAYS_NAME = "arrays.safetensors"
CHANGED = "its checksum is not the one that was saved"
# Values of a model lie a dozen levels deep at most; deeper ones would exhaust the stack.
MAX_DEPTH = 60


@dataclass(frozen=True)
class SavedModel:
    """What a saved model consists of, in plain values.

    Attributes
    ----------
    weights
        State of the module.
    var_names
        Names of the genes; for several modalities, of the variables of each.
    attributes
        Attributes of the model with a trailing underscore, as :func:`to_plain` gives them.
    """

    weights: dict[str, Tensor]
    var_names: np.ndarray | dict[str, np.ndarray]
    attributes: dict[str, Any]


def write_safe_files(model: SavedModel, folder: Path, prefix: str, scgim_version: str) -> None:
    """Write a model as safetensors and JSON, neither of which can run code.

    Parameters
    ----------
    model
        The model.
    folder
        Existing folder.
    prefix
        Start of the file names.
    scgim_version
        Version that wrote the files.
    """
    arrays: dict[str, np.ndarray] = {}
    encoded = {
        "attributes": _encode(model.attributes, "model", arrays),
        "var_names": _encode(model.var_names, "var_names", arrays),
    }
    # A tensor of its own for each weight, since the format has no tensors that share memory.
    weights = {
        key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, tensor in model.weights.items()
    }
    names = [f"{prefix}{WEIGHTS_NAME}", f"{prefix}{ARRAYS_NAME}"]
    for name, packed in zip(names, (pack_weights(weights), pack_arrays(arrays)), strict=True):
        # not by `save_file`, whose files only their owner may read
        (folder / name).write_bytes(packed)
    description = {
        "format_version": FORMAT_VERSION,
        "scgim_version": scgim_version,
        "files": {name: _checksum(folder / name) for name in names},
        **encoded,
    }
    description["checksum"] = _checksum_of(description)
    text = json.dumps(description, indent=1, allow_nan=False)
    (folder / f"{prefix}{DESCRIPTION_NAME}").write_text(text, encoding="utf-8")


def read_safe_files(folder: Path, prefix: str = "") -> SavedModel:
    """Read what :func:`write_safe_files` wrote; nothing in the files is executed.

    Parameters
    ----------
    folder
        Folder of the model.
    prefix
        Start of the file names.

    Returns
    -------
    The model.

    Raises
    ------
    ValueError
        Where a file is missing, damaged or written by a newer scgim; the message names it.
    """
    names = [f"{prefix}{name}" for name in (DESCRIPTION_NAME, WEIGHTS_NAME, ARRAYS_NAME)]
    check_files_present(folder, names)
    description_path, weights_path, arrays_path = (folder / name for name in names)
    description = _read_description(description_path)
    for path in (weights_path, arrays_path):
        if _checksum(path) != description["files"].get(path.name):
            raise ValueError(describe_damage(path, CHANGED))
    try:
        weights, arrays = load_weights(weights_path), load_arrays(arrays_path)
    except SafetensorError as error:
        raise ValueError(describe_damage(weights_path, str(error))) from error
    try:
        attributes = _decode(description["attributes"], arrays)
        var_names = _decode(description["var_names"], arrays)
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        what = f"an entry cannot be read ({error!r})"
        raise ValueError(describe_damage(description_path, what)) from error
    check_var_names(var_names, description_path)
    return SavedModel(weights, var_names, attributes)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (RecursionError, ValueError) as error:  # also the errors of JSON and of the encoding
        raise ValueError(describe_damage(path, f"it is not JSON ({error})")) from error
    if not isinstance(description, dict):
        raise ValueError(describe_damage(path, "it does not describe a model"))  # noqa: TRY004
    check_format_version(path, description.get("format_version"), FORMAT_VERSION)
    for key, kind in (("files", dict), ("attributes", dict), ("var_names", dict)):
        if not isinstance(description.get(key), kind):
            raise ValueError(describe_damage(path, f"its entry {key!r} is missing"))  # noqa: TRY004
    # Format 1 has no checksum of the description.
    if "checksum" in description or description["format_version"] > 1:
        found = description.pop("checksum", None)
        if found != _checksum_of(description):
            raise ValueError(describe_damage(path, CHANGED))
    return description


def _refuse_constant(constant: str) -> None:
    message = f"{constant} is no JSON"
    raise ValueError(message)


def _checksum_of(description: dict[str, Any]) -> str:
    """Checksum of all entries of a description but the checksum itself."""
    return hashlib.sha256(json.dumps(description).encode()).hexdigest()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _encode(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:  # noqa: ANN401
    """Bring a plain value to JSON; arrays of numbers go into ``arrays`` under their place."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, np.ndarray):
        return _encode_array(value, name, arrays)
    if isinstance(value, list | tuple):
        entries = [_encode(entry, f"{name}[{i}]", arrays) for i, entry in enumerate(value)]
        return {"$tuple": entries} if isinstance(value, tuple) else entries
    if isinstance(value, dict):
        pairs = [
            [_encode(key, name, arrays), _encode(entry, f"{name}[{key!r}]", arrays)]
            for key, entry in value.items()
        ]
        return {"$dict": pairs}
    raise TypeError(describe_unsupported(name, value))


def _encode_array(value: np.ndarray, name: str, arrays: dict[str, np.ndarray]) -> dict[str, object]:
    if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        arrays[name] = np.ascontiguousarray(value).reshape(value.shape)
        return {"$array": name}
    if value.dtype.kind not in "OU":
        raise TypeError(describe_unsupported(name, value.dtype))
    entries = [_encode(entry, f"{name}[{i}]", arrays) for i, entry in enumerate(value.ravel())]
    return {"$objects": entries, "shape": list(value.shape)}


def _decode(value: Any, arrays: dict[str, np.ndarray], depth: int = 0) -> Any:  # noqa: ANN401
    if depth > MAX_DEPTH:
        message = f"it is nested more than {MAX_DEPTH} deep"
        raise ValueError(message)
    decode = partial(_decode, arrays=arrays, depth=depth + 1)
    if isinstance(value, list):
        return [decode(entry) for entry in value]
    return _decode_marked(value, arrays, decode) if isinstance(value, dict) else value


def _decode_marked(
    value: dict[str, Any], arrays: dict[str, np.ndarray], decode: Callable[[Any], Any]
) -> Any:  # noqa: ANN401
    """Decode what JSON has no word for, marked by its first key."""
    kind = next(iter(value), None)
    match kind:
        case "$float":
            return float(value[kind])
        case "$array":
            return arrays[value[kind]]
        case "$tuple":
            return tuple(decode(value[kind]))
        case "$dict":
            return {decode(key): decode(entry) for key, entry in value[kind]}
        case "$objects":
            entries = np.empty(len(value[kind]), dtype=object)
            entries[:] = decode(value[kind])
            return entries.reshape(value["shape"])
    message = f"unknown kind {kind!r}"
    raise ValueError(message)
