from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scvi.data import AnnDataManager, AnnTorchDataset
from torch.utils.data import Subset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch.utils.data import Dataset


class ScreenDataset(AnnTorchDataset):
    """Cells in the order in which they are asked for, on disk as in memory.

    Files are read in ascending order, and scvi-tools leaves the cells in it; the same model would
    then be trained on other minibatches, and encoded cells would come in another order.
    """

    def __getitem__(self, indexes: int | list[int] | slice) -> dict[str, Tensor]:
        """Read cells, each once, and put them into the order asked for."""
        is_many = isinstance(indexes, list | np.ndarray)
        if not is_many or not self.adata_manager.adata.isbacked:
            return _aligned(super().__getitem__(indexes))
        different, place = np.unique(np.asarray(indexes), return_inverse=True)
        read = super().__getitem__(different)
        return _aligned({key: values[place] for key, values in read.items()})


def _aligned(arrays: dict[str, np.ndarray | Tensor]) -> dict[str, Tensor]:
    """Copy arrays to where PyTorch places its own: sums depend on the alignment of memory."""
    return {key: torch.as_tensor(values).clone() for key, values in arrays.items()}


class ScreenManager(AnnDataManager):
    """Registered cells of a screen, with a fingerprint of what they were at set-up.

    Attributes
    ----------
    fingerprint
        What :func:`~scgim.data._fingerprint.take_fingerprint` found at set-up; ``None`` for cells to
        which a set-up was transferred.
    """

    fingerprint: dict[str, str] | None = None

    def create_torch_dataset(
        self,
        indices: Sequence[int] | Sequence[bool] | None = None,
        data_and_attributes: list[str] | dict[str, np.dtype] | None = None,
        load_sparse_tensor: bool = False,  # noqa: FBT001, FBT002 - as in scvi-tools
    ) -> Dataset:
        """Create the data set from which minibatches are read."""
        dataset = ScreenDataset(
            self,
            getitem_tensors=data_and_attributes,
            load_sparse_tensor=load_sparse_tensor,
        )
        return dataset if indices is None else Subset(dataset, indices)
