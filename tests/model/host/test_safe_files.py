import json
from contextlib import suppress

import numpy as np
import pytest
import torch
from fixtures.saved_files import seal

from scgim.model.host._safe_files import CHANGED, SavedModel, read_safe_files, write_safe_files

ATTRIBUTES = {
    "text_": "é",
    "none_": None,
    "numbers_": [1, 2.5, True, np.float32(0.5), np.int64(3)],
    "infinite_": (np.inf, -np.inf),
    "nested_": {"a": {"b": np.arange(6).reshape(2, 3)}, 1: "key that is no text"},
    "names_": np.array([["x", None]], dtype=object),
    "empty_": np.zeros((3, 0), np.float32),
    "flags_": np.array([True, False]),
    "$array": "a key that looks like ours",
}


@pytest.fixture
def saved(tmp_path):
    weights = {"w": torch.arange(6.0).reshape(2, 3).T, "n": torch.tensor(3)}
    model = SavedModel(weights, np.array(["g1", "g2"], dtype=object), ATTRIBUTES)
    write_safe_files(model, tmp_path, "a_", "0.1.0")
    return tmp_path


def deep(n):
    value = 1
    for _ in range(n):
        value = [value]
    return value


def _same(left, right):
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            _same(left[key], right[key])
    else:
        assert left == right


def test_everything_comes_back_as_it_was(saved):
    model = read_safe_files(saved, "a_")
    expected = {**ATTRIBUTES, "numbers_": [1, 2.5, True, 0.5, 3]}
    _same(model.attributes, expected)
    _same(model.var_names, np.array(["g1", "g2"], dtype=object))
    assert set(model.weights) == {"w", "n"}
    torch.testing.assert_close(model.weights["w"], torch.arange(6.0).reshape(2, 3).T)


def test_the_description_is_standard_json(saved):
    def refuse(constant):
        raise AssertionError(constant)

    json.loads((saved / "a_scgim.json").read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("value", [{1}, np.array(["2020"], "M8[D]"), torch.ones(1), object()])
def test_what_cannot_be_held_is_named(tmp_path, value):
    model = SavedModel({}, np.array([], dtype=object), {"odd_": [value]})
    with pytest.raises(TypeError, match=r"and `model\['odd_'\]\[0\]` is a "):
        write_safe_files(model, tmp_path, "", "0.1.0")


@pytest.mark.parametrize("name", ["a_scgim.json", "a_weights.safetensors", "a_arrays.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(ValueError, match=f"is not complete: '{name}' is missing"):
        read_safe_files(saved, "a_")


@pytest.mark.parametrize("name", ["a_weights.safetensors", "a_arrays.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_a_damaged_file_is_named(saved, name, damage):
    content = (saved / name).read_bytes()
    content = content[:-3] if damage == "truncated" else content[:-1] + b"\x07"
    (saved / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}' is damaged: its checksum is not the one"):
        read_safe_files(saved, "a_")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda text: text[: len(text) // 2], "it is not JSON"),
        (lambda text: "[]", "it does not describe a model"),
        (lambda text: text.replace('"files"', '"folders"'), "its entry 'files' is missing"),
        (lambda text: text.replace('"$objects"', '"$pickle"'), CHANGED),
        (lambda text: text.replace("2.5", "2.6"), CHANGED),
        (lambda text: text.replace("2.5", "NaN"), "it is not JSON"),
        (lambda text: "[" * 100_000, "it is not JSON"),
    ],
    ids=["half", "list", "entry", "kind", "number", "nan", "deep"],
)
def test_a_damaged_description_is_named(saved, change, what):
    path = saved / "a_scgim.json"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match=f"a_scgim.json' is damaged: {what}"):
        read_safe_files(saved, "a_")


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"$pickle": []}, "unknown kind '\\$pickle'"),
        ({}, "unknown kind None"),
        ({"$array": "other"}, "KeyError"),
        ({"$array": ["a"]}, "TypeError"),
        ({"$dict": [[{"$dict": []}, 1]]}, "TypeError"),
        ({"$dict": 5}, "TypeError"),
        ({"$tuple": None}, "TypeError"),
        ({"$float": "x"}, "ValueError"),
        ({"$objects": [1]}, "KeyError"),
        ({"$objects": [1], "shape": [10**12]}, "ValueError"),
        ({"$objects": [1], "shape": [10**30]}, "Overflow|ValueError"),
        ({"$objects": None, "shape": [1]}, "TypeError"),
        (deep(900), "nested more than 60 deep"),
    ],
    ids=str,
)
def test_an_entry_that_means_nothing_is_named_although_its_checksum_is_right(saved, entry, what):
    seal(saved, "a_", lambda description: description["attributes"]["$dict"].append(["x_", entry]))
    with pytest.raises(ValueError, match=rf"a_scgim.json' is damaged: an entry .*({what})"):
        read_safe_files(saved, "a_")


@pytest.mark.parametrize("names", [None, 5, "genes", [["a"]], {"$tuple": ["a"]}, {"$array": "x"}])
def test_names_of_genes_are_text(saved, names):
    seal(saved, "a_", lambda description: description.update(var_names=names))
    with pytest.raises(ValueError, match=r"a_scgim\.json' is damaged: "):
        read_safe_files(saved, "a_")


def test_no_bit_can_be_flipped_unnoticed(saved):
    before = read_safe_files(saved, "a_")
    rng = np.random.default_rng(0)
    for name in ("a_scgim.json", "a_weights.safetensors", "a_arrays.safetensors"):
        whole = (saved / name).read_bytes()
        for position in rng.integers(0, len(whole), 80):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << rng.integers(8)
            (saved / name).write_bytes(flipped)
            with suppress(ValueError):  # all but white space between the entries of the description
                _same(read_safe_files(saved, "a_").attributes, before.attributes)
                assert name == "a_scgim.json"
        (saved / name).write_bytes(whole)


def test_a_file_cut_short_anywhere_is_named(saved):
    for name in ("a_scgim.json", "a_weights.safetensors", "a_arrays.safetensors"):
        whole = (saved / name).read_bytes()
        for length in np.linspace(0, len(whole) - 1, 20).astype(int):
            (saved / name).write_bytes(whole[:length])
            with pytest.raises(ValueError, match=f"{name}' is damaged"):
                read_safe_files(saved, "a_")
        (saved / name).write_bytes(whole)


def test_a_newer_format_is_named(saved):
    path = saved / "a_scgim.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"format_version": 2', '"format_version": 3'), encoding="utf-8")
    with pytest.raises(ValueError, match="was written in version 3 of the model format"):
        read_safe_files(saved, "a_")
