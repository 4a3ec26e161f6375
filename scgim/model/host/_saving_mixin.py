from __future__ import annotations

import pickle
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import anndata
import mudata
import numpy as np
import pandas as pd
import rich.pretty  # noqa: F401 - scvi-tools calls it without importing it
import torch
from anndata import AnnData
from lightning.pytorch.utilities import rank_zero_only
from mudata import MuData
from scvi.data import AnnDataManager
from scvi.data._constants import _MODEL_NAME_KEY, _SETUP_ARGS_KEY, _SETUP_METHOD_NAME
from scvi.model._utils import parse_device_args
from scvi.model.base import BaseModelClass
from scvi.model.base._constants import SAVE_KEYS
from scvi.model.base._save_load import _initialize_model, _load_saved_files

from scgim._files import new_folder, recover, write_cells
from scgim.model._checks import check_genes
from scgim.model.host._file_checks import (
    check_can_save,
    check_format_version,
    check_has_model,
    check_model_class,
    check_no_pickle,
    check_saved_cells,
    describe_damage,
)
from scgim.model.host._old_formats import MOVED, upgrade
from scgim.model.host._plain_values import from_plain, to_plain
from scgim.model.host._safe_files import (
    ARRAYS_NAME,
    DESCRIPTION_NAME,
    FORMAT_VERSION,
    WEIGHTS_NAME,
    SavedModel,
    read_safe_files,
    write_safe_files,
)
from scgim.model.host._saved_checks import check_attributes, check_sizes, check_weights

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

SAFE_NAMES = (DESCRIPTION_NAME, WEIGHTS_NAME, ARRAYS_NAME)
# What torch and pickle raise for bytes that are not, or no longer, a model.
UNREADABLE = (
    AttributeError,
    EOFError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    pickle.UnpicklingError,
)
# What h5py and anndata raise for a file that is not, or no longer, one of theirs.
UNREADABLE_CELLS = (AttributeError, KeyError, OSError, TypeError, ValueError)


class SavingMixin(BaseModelClass):
    """Files of a model: the format of scvi-tools, and one that cannot run code."""

    format_version_: int = FORMAT_VERSION

    def save(
        self,
        dir_path: str | os.PathLike[str],
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        *,
        safe: bool = True,
        **kwargs: Any,
    ) -> None:
        """Save the model in a folder.

        Everything is written to a folder beside it first, which takes its place when complete, so
        what was there stays as it was when saving fails or is killed. Under a distributed strategy
        only the first process writes.

        Parameters
        ----------
        dir_path
            Folder; it must not exist unless ``overwrite``.
        prefix
            Start of the file names.
        overwrite
            Whether to replace a model that is there already.
        save_anndata
            Whether to save the cells with the model.
        safe
            Whether to write safetensors and JSON, which cannot run code when they are loaded.
            ``False`` writes the pickle of scvi-tools, for tools that read only that; those who load
            it have to trust you, and to say so.
        **kwargs
            Passed to :meth:`scvi.model.base.BaseModelClass.save`.
        """
        folder = Path(dir_path)
        if vars(rank_zero_only)["rank"] == 0:
            check_can_save(folder, overwrite=overwrite)
            # A model in the other format is replaced too; all else in the folder stays.
            replaced = {f"{prefix or ''}{name}" for name in (*SAFE_NAMES, SAVE_KEYS.MODEL_FNAME)}
            with new_folder(folder, keep=lambda file: str(file) not in replaced) as written:
                self._write(written, prefix or "", save_anndata=save_anndata, safe=safe, **kwargs)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()

    def _write(
        self,
        folder: Path,
        prefix: str,
        *,
        save_anndata: bool,
        safe: bool,
        **kwargs: Any,
    ) -> None:
        if not safe:
            super().save(str(folder), prefix, True, save_anndata, **kwargs)
            return
        if save_anndata and self.adata is not None:
            write_cells(self.adata, folder / f"{prefix}{_cells_name(self.adata)}")
        saved = SavedModel(self.module.state_dict(), self.get_var_names(), self.saved_attributes())
        write_safe_files(saved, folder, prefix, version("scgim"))

    @classmethod
    def load(
        cls,
        dir_path: str | os.PathLike[str],
        adata: AnnData | MuData | bool | None = None,
        *,
        safe: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Load a saved model; nothing in its files is executed.

        A model in the format of scvi-tools (``save(..., safe=False)``, the default of scgim 0.1) is a
        pickle, which can run any code: it is refused unless ``safe=False`` says that you trust
        whoever made it.

        Parameters
        ----------
        dir_path
            Folder that :meth:`save` wrote.
        adata
            Cells with the genes of training; ``None`` for those saved with the model, ``False``
            for none: predictions need none.
        safe
            Whether to refuse a folder whose model could run code; ``False`` loads a pickle.
        **kwargs
            Passed to :meth:`scvi.model.base.BaseModelClass.load`.

        Returns
        -------
        The model.

        Raises
        ------
        ValueError
            When a file is missing, damaged, of a newer format or refused, or when the genes of
            ``adata`` are not those of training.
        """
        folder, prefix = Path(dir_path), kwargs.get("prefix") or ""
        backup_url = kwargs.get("backup_url")
        is_safe = _is_safe(folder, prefix, trusted=not safe, has_backup=backup_url is not None)
        saved = (
            read_safe_files(folder, prefix) if is_safe else _read_pickle(folder, prefix, backup_url)
        )
        registry = _registry_of(saved, folder / f"{prefix}{DESCRIPTION_NAME}")
        check_model_class(folder, registry.get(_MODEL_NAME_KEY), cls.__name__)
        if adata is None:
            adata = _read_cells(folder, prefix, saved)
        if isinstance(adata, AnnData) and not isinstance(saved.var_names, dict):
            check_genes(adata.var_names, pd.Index(np.asarray(saved.var_names).ravel()))
        if not is_safe:
            model = super().load(str(folder), adata, **kwargs)
            _upgrade(model)
            model.history_ = from_plain(model.history_)
            return model
        cls._try_out(saved, folder, prefix)
        cells = None if isinstance(adata, bool) else adata
        model = cls._build(saved, cells, **kwargs)
        with _say_damaged(folder / f"{prefix}{DESCRIPTION_NAME}"):
            model._read_fit()  # noqa: SLF001 - of this class
        return model

    @classmethod
    def _try_out(cls, saved: SavedModel, folder: Path, prefix: str) -> None:
        """Make the model once without memory for its weights, and compare it with the files."""
        path = folder / f"{prefix}{DESCRIPTION_NAME}"
        with _say_damaged(path):
            attributes = _newest_attributes(saved)
            check_attributes(attributes, cls, path)
            n_bytes = sum((folder / f"{prefix}{name}").stat().st_size for name in SAFE_NAMES)
            check_sizes(attributes, n_bytes, path)
            registry = attributes.pop("registry_")
            with torch.device("meta"), torch.random.fork_rng(devices=[]):
                model = _initialize_model(cls, None, registry, attributes, None)
                model.module.on_load(model)
        weights = dict(saved.weights)
        model.module.mechanism.upgrade_state(weights, "mechanism.")
        check_weights(weights, model.module.state_dict(), folder / f"{prefix}{WEIGHTS_NAME}")

    def _read_fit(self) -> None:
        """Read what was learned beside the weights, where there is something."""

    @classmethod
    def _build(
        cls,
        saved: SavedModel,
        adata: AnnData | MuData | None,
        accelerator: str = "auto",
        device: int | str = "auto",
        **_: Any,
    ) -> Self:
        """Set up cells and make the model of a safe folder, as scvi-tools does for a pickle."""
        attributes = _newest_attributes(saved)
        registry = attributes.pop("registry_")
        if adata is not None:
            set_up = getattr(cls, registry.get(_SETUP_METHOD_NAME, "setup_anndata"))
            set_up(adata, source_registry=registry, **registry[_SETUP_ARGS_KEY])
        model: Self = _initialize_model(cls, adata, registry, attributes, None)
        model.module.on_load(model)
        model.module.load_state_dict(saved.weights)
        model.to_device(
            parse_device_args(
                accelerator, device, return_device="torch", validate_single_device=True
            )[2]
        )
        model.module.eval()
        if adata is not None:
            model._validate_anndata(adata)
        return model

    @staticmethod
    def load_registry(dir_path: str, prefix: str | None = None, *, safe: bool = True) -> dict:
        """Read the registry saved with a model, in either format.

        Parameters
        ----------
        dir_path
            Folder that :meth:`save` wrote.
        prefix
            Start of the file names.
        safe
            Whether to refuse a folder whose model could run code, see :meth:`load`.

        Returns
        -------
        The registry.

        Raises
        ------
        ValueError
            When a file is missing, damaged, of a newer format or refused.
        """
        folder = Path(dir_path)
        if not _is_safe(folder, prefix or "", trusted=not safe):
            return BaseModelClass.load_registry(dir_path, prefix)
        saved = read_safe_files(folder, prefix or "")
        return _registry_of(saved, folder / f"{prefix or ''}{DESCRIPTION_NAME}")

    @staticmethod
    def view_setup_args(dir_path: str, prefix: str | None = None, *, safe: bool = True) -> None:
        """Print how the cells of a saved model were set up.

        Parameters
        ----------
        dir_path
            Folder that :meth:`save` wrote.
        prefix
            Start of the file names.
        safe
            Whether to refuse a folder whose model could run code, see :meth:`load`.
        """
        registry = SavingMixin.load_registry(dir_path, prefix, safe=safe)
        AnnDataManager.view_setup_method_args(registry)

    @classmethod
    def convert_legacy_save(cls, *args: Any, **kwargs: Any) -> None:
        """Refuse files of scvi-tools before 0.15, which are older than scgim."""
        del args, kwargs
        message = (
            f"`convert_legacy_save` is for models of scvi-tools before 0.15, and no {cls.__name__} is "
            "that old. Load the folder that `GIM.save` wrote."
        )
        raise ValueError(message)

    def saved_attributes(self) -> dict[str, Any]:
        """Attributes that are saved: those with a trailing underscore, in plain values."""
        return {name: value for name, value in self._get_user_attributes() if name[-1] == "_"}

    def _get_user_attributes(self) -> list[tuple[str, Any]]:
        """Attributes in plain Python and NumPy, which every version of pandas can read."""
        return [
            (name, to_plain(value) if name.endswith("_") and not name.startswith("__") else value)
            for name, value in super()._get_user_attributes()
        ]


def _newest_attributes(saved: SavedModel) -> dict[str, Any]:
    """Attributes in the newest format, in containers of their own."""
    return upgrade(from_plain(saved.attributes)) | {"format_version_": FORMAT_VERSION}


def _registry_of(saved: SavedModel, path: Path) -> dict[str, Any]:
    registry = saved.attributes.get("registry_")
    if not isinstance(registry, dict):
        raise ValueError(describe_damage(path, "the attribute 'registry_' is missing"))  # noqa: TRY004
    return registry


@contextmanager
def _say_damaged(path: Path) -> Iterator[None]:
    """Name the file of which no model can be made, whatever it is that fails."""
    try:
        yield
    except Exception as error:
        if repr(str(path)) in str(error):  # told already
            raise
        what = f"no model can be made of it ({type(error).__name__}: {error})"
        raise ValueError(describe_damage(path, what)) from error


def _upgrade(model: SavingMixin) -> None:
    """Bring what scvi-tools read from a pickle to the newest format, in place."""
    old = {name: vars(model)[name] for name in MOVED if name in vars(model)}
    for name in old:
        delattr(model, name)
    for name, value in upgrade(old).items():
        setattr(model, name, value)
    model.format_version_ = FORMAT_VERSION


def _is_safe(folder: Path, prefix: str, *, trusted: bool, has_backup: bool = False) -> bool:
    """Tell the safe format from a pickle, which is refused unless the user trusts it."""
    recover(folder)
    safe_name, pickle_name = f"{prefix}{DESCRIPTION_NAME}", f"{prefix}{SAVE_KEYS.MODEL_FNAME}"
    if not has_backup:
        check_has_model(folder, (safe_name, pickle_name))
    is_safe = (folder / safe_name).exists()
    if is_safe or not trusted:
        check_no_pickle(folder / pickle_name, is_safe=is_safe, is_downloaded=has_backup)
    return is_safe


def _read_pickle(folder: Path, prefix: str, backup_url: str | None) -> SavedModel:
    path = folder / f"{prefix}{SAVE_KEYS.MODEL_FNAME}"
    try:
        attributes, var_names, weights, _ = _load_saved_files(
            str(folder),
            load_adata=False,
            prefix=prefix,
            map_location="cpu",
            backup_url=backup_url,
        )
        attributes["registry_"]
    except UNREADABLE as error:
        what = f"it cannot be read as a model ({type(error).__name__}: {error})"
        raise ValueError(describe_damage(path, what)) from error
    check_format_version(path, attributes.get("format_version_", 1), FORMAT_VERSION)
    return SavedModel(weights, var_names, attributes)


def _read_cells(folder: Path, prefix: str, saved: SavedModel) -> AnnData | MuData | Literal[False]:
    """Cells saved with the model, or a warning that there are none and ``False``."""
    is_multimodal = isinstance(saved.var_names, dict)
    path = folder / f"{prefix}{SAVE_KEYS.MDATA_FNAME if is_multimodal else SAVE_KEYS.ADATA_FNAME}"
    if not check_saved_cells(path):
        return False
    try:
        return mudata.read(path) if is_multimodal else anndata.read_h5ad(path)
    except UNREADABLE_CELLS as error:
        what = f"it cannot be read as cells ({type(error).__name__}: {error})"
        raise ValueError(describe_damage(path, what)) from error


def _cells_name(adata: AnnData | MuData) -> str:
    name: str = SAVE_KEYS.MDATA_FNAME if isinstance(adata, MuData) else SAVE_KEYS.ADATA_FNAME
    return name
