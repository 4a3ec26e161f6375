from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scvi import settings
from scvi.dataloaders import DataSplitter

from scgim._constants import REGISTRY_KEYS

if TYPE_CHECKING:
    from scvi.data import AnnDataManager
    from torch.utils.data import DataLoader

MIN_DOSES = 4
MIN_LAST_BATCH = 3


def hold_out_cells(
    labels: np.ndarray,
    doses: np.ndarray | None,
    control_code: int,
    *,
    fraction: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Choose the cells on which a fit is judged while it is trained.

    Perturbations with at least four doses give whole conditions, at doses between their lowest
    and their highest. Where there are none, cells of every condition are held out instead.
    Control cells are held out in either case, since a shift is measured against them.

    Parameters
    ----------
    labels
        Perturbation code of each cell, shape ``(n_cells,)``.
    doses
        Dose of each cell, shape ``(n_cells,)``, or ``None``.
    control_code
        Code of the control.
    fraction
        Share of the eligible conditions, and of the control cells.
    rng
        Source of randomness.

    Returns
    -------
    Whether each cell is held out, shape ``(n_cells,)``.
    """
    is_control = labels == control_code
    cells = pd.DataFrame({"label": labels, "dose": 0.0 if doses is None else doses})
    conditions = cells[~is_control].drop_duplicates()
    rank = conditions.groupby("label").dose.rank()
    n_doses = conditions.groupby("label").dose.transform("size")
    interior = conditions[(rank > 1) & (rank < n_doses) & (n_doses >= MIN_DOSES)]
    draw = rng.random(len(cells))
    # A few control cells are held out of the smallest screen, so that there is a score.
    lowest = np.sort(draw[is_control])[:MIN_LAST_BATCH]
    is_drawn = (draw < fraction) | (is_control & np.isin(draw, lowest))
    if len(interior) == 0:
        return is_drawn
    per_label = interior.sample(frac=1, random_state=rng).drop_duplicates("label")
    n_held_out = max(1, round(fraction * len(conditions)))
    held_out = pd.MultiIndex.from_frame(per_label.iloc[:n_held_out])
    return pd.MultiIndex.from_frame(cells).isin(held_out) | (is_control & is_drawn)


class ConditionSplitter(DataSplitter):
    """Hold out whole conditions for validation, not random cells of all of them.

    Random cells of a condition are answered by its other cells; held-out conditions ask what the
    user will ask. Reuses everything of :class:`scvi.dataloaders.DataSplitter` but the choice of
    cells. Under a distributed strategy every process holds out the same conditions and scores all
    of them, and has its own share of the cells to train on.

    Parameters
    ----------
    adata_manager
        Manager of the screen.
    train_size
        Share of conditions and control cells to train on; ``None`` is 0.95.
    external_indexing
        Cells of the training, validation and test sets chosen by hand.
    batch_size
        Cells per minibatch.
    **kwargs
        Passed on to :class:`scvi.dataloaders.DataSplitter`.
    """

    def __init__(
        self,
        adata_manager: AnnDataManager,
        train_size: float | None = None,
        external_indexing: list[np.ndarray] | None = None,
        batch_size: int | None = None,
        **kwargs: object,
    ) -> None:
        if external_indexing is None:
            fraction = 0.05 if train_size is None else 1 - train_size
            seed = settings.seed
            if seed is None and kwargs.get("distributed_sampler"):
                seed = 0  # the processes cannot ask each other yet
            rng = np.random.default_rng(seed)
            external_indexing = _split(
                adata_manager, fraction, batch_size or settings.batch_size, rng
            )
        super().__init__(
            adata_manager,
            train_size=train_size,
            external_indexing=external_indexing,
            batch_size=batch_size,
            **kwargs,
        )

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Load the held-out cells; there are none when asked to train on all."""
        if not len(self.val_idx):
            return []
        options = {**self.data_loader_kwargs, "distributed_sampler": False}
        return self.data_loader_cls(
            self.adata_manager,
            indices=self.val_idx,
            load_sparse_tensor=self.load_sparse_tensor,
            pin_memory=self.pin_memory,
            **options,
        )


def _split(
    manager: AnnDataManager, fraction: float, batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    labels = manager.get_from_registry(REGISTRY_KEYS.PERTURBATION).ravel()
    has_dose = REGISTRY_KEYS.DOSE in manager.data_registry
    doses = manager.get_from_registry(REGISTRY_KEYS.DOSE).ravel() if has_dose else None
    state = manager.get_state_registry(REGISTRY_KEYS.PERTURBATION)
    control_code = list(state["categorical_mapping"]).index(state["control"])
    held_out = hold_out_cells(labels, doses, control_code, fraction=fraction, rng=rng)
    training, validation = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    # scvi-tools warns of a last minibatch of one or two cells, which matters for batch norm only,
    # and wants every cell in a set: these go to the test set, which nothing here uses.
    n_training, n_validation = (
        len(part) - (len(part) % batch_size) * (0 < len(part) % batch_size < MIN_LAST_BATCH)
        for part in (training, validation)
    )
    rest = np.concatenate([training[n_training:], validation[n_validation:]])
    return [training[:n_training], validation[:n_validation], rest]
