import re

import pytest

from scgim.model.host import _file_checks as v


def _says(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_an_existing_folder_is_not_written_over(tmp_path):
    message = (
        f"{str(tmp_path)!r} already exists. Pass another folder, or `overwrite=True` to replace "
        "the model in it."
    )
    with _says(message):
        v.check_can_save(tmp_path, overwrite=False)
    v.check_can_save(tmp_path, overwrite=True)
    v.check_can_save(tmp_path / "new", overwrite=False)


def test_a_file_is_not_a_folder(tmp_path):
    path = tmp_path / "gim"
    path.write_text("")
    message = (
        f"{str(path)!r} is a file, and a model is saved in a folder. Pass the path of a folder "
        "that does not exist yet."
    )
    with _says(message):
        v.check_can_save(path, overwrite=True)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "gim"
    message = (
        f"There is no folder {str(path)!r}. Pass the folder in which `GIM.save` saved the model."
    )
    with _says(message):
        v.check_has_model(path, ["model.pt"])


def test_a_folder_without_a_model_is_named(tmp_path):
    message = (
        f"{str(tmp_path)!r} holds no model: there is no 'scgim.json' or 'model.pt' in it. Pass "
        "the folder in which `GIM.save` saved the model, and its `prefix` if it has one."
    )
    with _says(message):
        v.check_has_model(tmp_path, ["scgim.json", "model.pt"])


def test_a_pickle_beside_a_safe_model_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    v.check_no_pickle(path, is_safe=True)
    path.write_text("")
    message = (
        f"{str(path)!r} is a pickle beside a model in the safe format, which has none; it was not "
        "opened. Delete it if you do not know where it comes from, and load again."
    )
    with _says(message):
        v.check_no_pickle(path, is_safe=True)


def test_a_pickle_is_refused_when_safety_was_asked_for(tmp_path):
    path = tmp_path / "model.pt"
    path.write_text("")
    message = (
        f"{str(path)!r} is a pickle, which can run any code when it is loaded; it was not opened. "
        "If you trust whoever made it (scgim 0.1 saved pickles by default), pass `safe=False`, in "
        "the shell `--allow-pickle`, and save the model again with `GIM.save`, which writes no "
        "pickle. Else ask for a model that was saved by scgim 0.2."
    )
    with _says(message):
        v.check_no_pickle(path, is_safe=False)


def test_a_missing_file_is_named(tmp_path):
    message = (
        f"The saved model in {str(tmp_path)!r} is not complete: 'weights.safetensors' is missing. "
        "Copy the whole folder again, or save the model again."
    )
    with _says(message):
        v.check_files_present(tmp_path, ["weights.safetensors"])


def test_a_newer_format_is_named(tmp_path):
    path = tmp_path / "scgim.json"
    v.check_format_version(path, 1, 1)
    message = (
        f"{str(path)!r} was written in version 2 of the model format, and this scgim reads "
        "versions up to 1. Install a newer scgim."
    )
    with _says(message):
        v.check_format_version(path, 2, 1)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "scgim.json"
    message = (
        f"{str(path)!r} is damaged: its format version is None. Copy the folder of the model "
        "again, or save the model again."
    )
    with _says(message):
        v.check_format_version(path, None, 1)


def test_a_model_of_another_class_is_named(tmp_path):
    v.check_model_class(tmp_path, None, "GIM")
    message = f"The model in {str(tmp_path)!r} is a SCVI, not a GIM. Load it with `SCVI.load`."
    with _says(message):
        v.check_model_class(tmp_path, "SCVI", "GIM")


def test_cells_that_were_not_saved_are_named(tmp_path):
    path = tmp_path / "adata.h5ad"
    message = (
        f"No cells were saved with the model: there is no 'adata.h5ad' in {str(tmp_path)!r}. The "
        "model is loaded without cells, which predictions do not need. Pass `adata=False` to say "
        "so, or `adata=` to attach cells."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        assert not v.check_saved_cells(path)
    path.write_text("")
    assert v.check_saved_cells(path)


def test_what_the_safe_format_cannot_hold_is_named():
    assert v.describe_unsupported("model['extra_']", {1}) == (
        "The safe format holds numbers, text, arrays, lists and dictionaries, and "
        "`model['extra_']` is a builtins.set. Remove this attribute, or save a pickle with `safe=False`."
    )
