"""Checks on the files of saved models, and what is said when they cannot be used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scgim._messages import warn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def check_can_save(folder: Path, *, overwrite: bool) -> None:
    """Raise where saving would write over something that the user did not offer.

    Parameters
    ----------
    folder
        Where the model is to be saved.
    overwrite
        Whether the user offered what is there.
    """
    if folder.exists() and not folder.is_dir():
        message = (
            f"{str(folder)!r} is a file, and a model is saved in a folder. Pass the path of a "
            "folder that does not exist yet."
        )
        raise ValueError(message)
    if folder.exists() and not overwrite:
        message = (
            f"{str(folder)!r} already exists. Pass another folder, or `overwrite=True` to replace "
            "the model in it."
        )
        raise ValueError(message)


def check_has_model(folder: Path, names: Iterable[str]) -> None:
    """Raise where a folder holds no model.

    Parameters
    ----------
    folder
        Folder from which a model is to be loaded.
    names
        Files, any of which would be a model.
    """
    if not folder.is_dir():
        message = (
            f"There is no folder {str(folder)!r}. Pass the folder in which `GIM.save` saved the "
            "model."
        )
        raise ValueError(message)
    names = list(names)
    if not any((folder / name).exists() for name in names):
        expected = " or ".join(repr(name) for name in names)
        message = (
            f"{str(folder)!r} holds no model: there is no {expected} in it. Pass the folder in "
            "which `GIM.save` saved the model, and its `prefix` if it has one."
        )
        raise ValueError(message)


def check_no_pickle(path: Path, *, is_safe: bool, is_downloaded: bool = False) -> None:
    """Raise where loading would have to execute, or choose to ignore, a pickle.

    Parameters
    ----------
    path
        File of the scvi-tools format.
    is_safe
        Whether the folder holds a model in the safe format.
    is_downloaded
        Whether it would be downloaded where it is not there.
    """
    if not path.exists() and (is_safe or not is_downloaded):
        return
    if is_safe:
        message = (
            f"{str(path)!r} is a pickle beside a model in the safe format, which has none; it was "
            "not opened. Delete it if you do not know where it comes from, and load again."
        )
    else:
        message = (
            f"{str(path)!r} is a pickle, which can run any code when it is loaded; it was not "
            "opened. If you trust whoever made it (scgim 0.1 saved pickles by default), pass "
            "`safe=False`, in the shell `--allow-pickle`, and save the model again with `GIM.save`, "
            "which writes no pickle. Else ask for a model that was saved by scgim 0.2."
        )
    raise ValueError(message)


def check_files_present(folder: Path, names: Iterable[str]) -> None:
    """Raise where files of a saved model are missing.

    Parameters
    ----------
    folder
        Folder of the model.
    names
        Files that it must have.
    """
    for name in names:
        if not (folder / name).exists():
            message = (
                f"The saved model in {str(folder)!r} is not complete: {name!r} is missing. Copy "
                "the whole folder again, or save the model again."
            )
            raise ValueError(message)


def check_format_version(path: Path, found: object, newest: int) -> None:
    """Raise where a file was written by a newer scgim.

    Parameters
    ----------
    path
        File of the model.
    found
        Version of its format.
    newest
        Newest version that can be read.
    """
    if not isinstance(found, int) or found < 1:
        raise ValueError(describe_damage(path, f"its format version is {found!r}"))
    if found > newest:
        message = (
            f"{str(path)!r} was written in version {found} of the model format, and this scgim "
            f"reads versions up to {newest}. Install a newer scgim."
        )
        raise ValueError(message)


def check_model_class(folder: Path, found: object, expected: str) -> None:
    """Raise where a folder holds a model of another class.

    Parameters
    ----------
    folder
        Folder of the model.
    found
        Name of the class that was saved, or ``None``.
    expected
        Name of the class that loads.
    """
    if found is not None and found != expected:
        message = (
            f"The model in {str(folder)!r} is a {found}, not a {expected}. Load it with "
            f"`{found}.load`."
        )
        raise ValueError(message)


def check_hub_folder(folder: Path, metadata_name: str, expected: str) -> None:
    """Raise where a folder lacks the metadata that the scvi-tools hub asks for.

    Parameters
    ----------
    folder
        Folder of the model.
    metadata_name
        Name of the file with metadata.
    expected
        Name of the class that loads.
    """
    path = folder / metadata_name
    if not folder.is_dir():
        message = (
            f"There is no folder {str(folder)!r}. Pass the folder that `scvi.hub.HubModel` wrote "
            "or downloaded."
        )
        raise ValueError(message)
    if not path.exists():
        message = (
            f"{str(folder)!r} is not a folder of the scvi-tools hub: there is no {metadata_name!r} "
            "in it. Ask its author for that file or make it with `scvi.hub.HubMetadata` (user "
            f"guide, 'At home in scvi-tools'), or load the model alone with `{expected}.load`."
        )
        raise ValueError(message)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["model_cls_name"]
    except (KeyError, TypeError, ValueError) as error:
        what = f"it is not JSON with a 'model_cls_name' ({type(error).__name__}: {error})"
        raise ValueError(describe_damage(path, what)) from error
    check_model_class(folder, found, expected)


def check_saved_cells(path: Path) -> bool:
    """Warn where a model is to be loaded with its cells and none were saved.

    Parameters
    ----------
    path
        File in which the cells would be.

    Returns
    -------
    Whether the file is there.
    """
    if path.exists():
        return True
    warn(
        f"No cells were saved with the model: there is no {path.name!r} in {str(path.parent)!r}. "
        "The model is loaded without cells, which predictions do not need. Pass `adata=False` to "
        "say so, or `adata=` to attach cells."
    )
    return False


def describe_damage(path: Path, what: str) -> str:
    """Say that a file of a saved model cannot be used.

    Parameters
    ----------
    path
        The file.
    what
        What is wrong with it, as a clause.

    Returns
    -------
    The message.
    """
    return (
        f"{str(path)!r} is damaged: {what}. Copy the folder of the model again, or save the model "
        "again."
    )


def describe_unsupported(name: str, value: object) -> str:
    """Say that the safe format cannot hold an attribute of a model.

    Parameters
    ----------
    name
        Where the value is, from the attribute of the model inwards.
    value
        The value.

    Returns
    -------
    The message.
    """
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    return (
        f"The safe format holds numbers, text, arrays, lists and dictionaries, and `{name}` is a "
        f"{kind}. Remove this attribute, or save a pickle with `safe=False`."
    )
