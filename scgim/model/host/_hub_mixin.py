from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from scvi.model.base._constants import SAVE_KEYS

from scgim.model.host._file_checks import check_hub_folder
from scgim.model.host._saving_mixin import SavingMixin

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from mudata import MuData

# Of scvi.hub, which cannot be imported without huggingface_hub.
METADATA_NAME = "_scvi_required_metadata.json"


class HubMixin(SavingMixin):
    """Folders of the scvi-tools hub."""

    @classmethod
    def load_hub_folder(
        cls,
        dir_path: str | os.PathLike[str],
        adata: AnnData | MuData | None = None,
        *,
        safe: bool = True,
        **kwargs: Any,  # noqa: ANN401, passed on
    ) -> Self:
        """Load a model from a folder that :class:`scvi.hub.HubModel` wrote or downloaded.

        Unlike :meth:`scvi.hub.HubModel.load_model` it needs no cells, as predictions do not, and it
        says what is wrong with a folder before anything in it is opened.

        Parameters
        ----------
        dir_path
            Folder with a model, its metadata and, mostly, a model card.
        adata
            Cells with the genes of training; those in the folder if not given, or none.
        safe
            Whether to refuse a folder whose model could run code; ``False`` loads a pickle.
        **kwargs
            Passed to :meth:`load`.

        Returns
        -------
        The model.

        Raises
        ------
        ValueError
            When metadata are missing, damaged or of a model of another class, and for all that
            :meth:`load` refuses.
        """
        folder = Path(dir_path)
        check_hub_folder(folder, METADATA_NAME, cls.__name__)
        names = (SAVE_KEYS.ADATA_FNAME, SAVE_KEYS.MDATA_FNAME)
        has_cells = any((folder / name).exists() for name in names)
        cells = False if adata is None and not has_cells else adata
        return cls.load(folder, cells, safe=safe, **kwargs)
