"""Training that goes on where it was stopped: what the last finished epoch left, in a folder."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from scvi import REGISTRY_KEYS as SCVI_KEYS
from scvi import settings
from scvi.train._logger import SimpleLogger

from scgim._constants import REGISTRY_KEYS
from scgim._files import new_folder
from scgim.model.host._file_checks import describe_damage
from scgim.model.host._plain_values import from_plain, to_plain
from scgim.model.host._safe_files import (
    ARRAYS_NAME,
    DESCRIPTION_NAME,
    WEIGHTS_NAME,
    SavedModel,
    read_safe_files,
    write_safe_files,
)

if TYPE_CHECKING:
    from pathlib import Path

    from scvi.data import AnnDataManager
    from torch import Tensor

    from scgim.train import KeepWeights

NAMES = (DESCRIPTION_NAME, WEIGHTS_NAME, ARRAYS_NAME)
PARTS = ("epoch", "step", "optimizers", "schedulers", "keep", "random", "history", "run")


class CheckpointError(ValueError):
    """A training cannot go on from a folder."""


@dataclass(frozen=True)
class TrainingRun:
    """What must be the same for a training to go on as if it had never stopped.

    Attributes
    ----------
    settings
        Arguments of the training, name to text.
    cells
        Checksum of the cells, see :func:`checksum_of_cells`.
    """

    settings: dict[str, str]
    cells: str

    @classmethod
    def of(cls, arguments: dict[str, object], manager: AnnDataManager | None) -> TrainingRun:
        """Describe a training.

        Parameters
        ----------
        arguments
            Its arguments by name.
        manager
            Manager of its cells; ``None`` where they are streamed.
        """
        arguments = arguments | {"scvi.settings.seed": settings.seed}
        texts = {name: repr(value) for name, value in arguments.items()}
        return cls(texts, checksum_of_cells(manager))


@dataclass(frozen=True)
class Checkpoint:
    """What the last finished epoch left.

    Attributes
    ----------
    weights
        State of the module, and under ``best/`` that of its best epoch.
    state
        Everything else, by the names of `PARTS`.
    """

    weights: dict[str, Tensor]
    state: dict[str, Any]

    @property
    def splits(self) -> list[np.ndarray] | None:
        """Cells to train on, to validate and to test; ``None`` where they were streamed."""
        splits = self.state["run"]["splits"]
        return None if splits is None else list(splits)

    @classmethod
    def read(cls, folder: Path, run: TrainingRun) -> Checkpoint:
        """Read a checkpoint.

        Parameters
        ----------
        folder
            Folder that :class:`KeepCheckpoint` wrote.
        run
            The training that is to go on.

        Returns
        -------
        The checkpoint.

        Raises
        ------
        CheckpointError
            Where there is none, it is damaged, or it is of other cells or settings.
        """
        check_has_checkpoint(folder)
        try:
            saved = read_safe_files(folder)
        except ValueError as error:
            raise CheckpointError(str(error)) from error
        missing = [name for name in PARTS if name not in saved.attributes]
        if missing:
            what = f"it is not of a training, {missing[0]!r} is missing"
            raise CheckpointError(describe_damage(folder / DESCRIPTION_NAME, what))
        checkpoint = cls(saved.weights, saved.attributes)
        check_same_run(folder, checkpoint.state["run"], run)
        return checkpoint


class KeepCheckpoint(pl.Callback):
    """Keep what the last finished epoch left, and go on from there.

    Written when an epoch begins: then the one before is over, to the last line of its log. Random
    numbers continue as they would have, so that minibatches and draws are the same as without a stop.

    Parameters
    ----------
    folder
        Folder to write; ``None`` writes nothing.
    run
        What must be the same when the training goes on.
    keep
        Callback that keeps the best weights.
    start
        Checkpoint to go on from.
    """

    def __init__(
        self,
        folder: Path | None,
        run: TrainingRun,
        keep: KeepWeights,
        start: Checkpoint | None = None,
    ) -> None:
        self._folder, self._run, self._keep, self._start = folder, run, keep, start

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over weights, optimiser, schedule, log and position."""
        check_one_process(trainer.world_size)
        if self._start is None:
            return
        weights, state = self._start.weights, self._start.state
        module: Any = pl_module.module
        module.load_state_dict({k: v for k, v in weights.items() if not k.startswith("best/")})
        for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(_to_tensors(saved))
        for config, saved in zip(trainer.lr_scheduler_configs, state["schedulers"], strict=True):
            config.scheduler.load_state_dict(saved)
        best = {k.removeprefix("best/"): v for k, v in weights.items() if k.startswith("best/")}
        self._keep.load_state(state["keep"], {k: v.to(pl_module.device) for k, v in best.items()})
        _set_position(trainer, state["epoch"], state["step"])
        if isinstance(trainer.logger, SimpleLogger):
            trainer.logger.experiment.data.update(from_plain(state["history"]))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoint, or continue the random numbers of the one that was read."""
        if self._start is not None:
            _set_random_state(self._start.state["random"])
            self._start = None
        elif self._folder is not None and trainer.current_epoch > 0:
            self._write(self._folder, trainer, pl_module)

    def _write(self, folder: Path, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        best, keep = self._keep.state()
        module: Any = pl_module.module
        weights = dict(module.state_dict())
        weights |= {f"best/{name}": tensor for name, tensor in best.items()}
        loader: Any = getattr(trainer, "datamodule", None)
        parts = [getattr(loader, f"{name}_idx", None) for name in ("train", "val", "test")]
        logger = trainer.logger
        state = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "optimizers": [_to_arrays(o.state_dict()) for o in trainer.optimizers],
            "schedulers": [c.scheduler.state_dict() for c in trainer.lr_scheduler_configs],
            "keep": keep,
            "random": _random_state(),
            "history": to_plain(logger.history) if isinstance(logger, SimpleLogger) else {},
            "run": {
                "settings": self._run.settings,
                "cells": self._run.cells,
                "splits": None if parts[0] is None else [np.asarray(part) for part in parts],
            },
        }
        saved = SavedModel(weights, np.array([], dtype=object), state)
        with new_folder(folder, keep=lambda file: str(file) not in NAMES) as written:
            write_safe_files(saved, written, "", version("scgim"))


def split_as(start: Checkpoint | None, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Hold out the cells that were held out before a training was stopped.

    Parameters
    ----------
    start
        Checkpoint to go on from, if any.
    given
        What the user asked of the splitter.

    Returns
    -------
    Arguments of the splitter.
    """
    if start is None or start.splits is None:
        return given
    return {"external_indexing": start.splits} | (given or {})


def checksum_of_cells(manager: AnnDataManager | None) -> str:
    """Tell cells from others by the totals and labels of each.

    Parameters
    ----------
    manager
        Manager of the screen; ``None`` where cells are streamed.

    Returns
    -------
    The checksum, empty for streamed cells.
    """
    if manager is None:
        return ""
    totals = np.asarray(manager.get_from_registry(SCVI_KEYS.X_KEY).sum(1), dtype=np.float64)
    labels = np.asarray(manager.get_from_registry(REGISTRY_KEYS.PERTURBATION))
    digest = hashlib.sha256(np.ascontiguousarray(totals).tobytes())
    digest.update(np.ascontiguousarray(labels).tobytes())
    return digest.hexdigest()


def _set_position(trainer: pl.Trainer, epoch: int, step: int) -> None:
    """Let the trainer begin with a later epoch, as it begins the second one after the first."""
    loop: Any = trainer.fit_loop
    for progress in (loop.epoch_progress.current, loop.epoch_progress.total):
        progress.ready = progress.started = progress.processed = progress.completed = epoch
    steps = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step
    steps.total.ready = steps.total.completed = step
    loop.epoch_loop._batches_that_stepped = step  # noqa: SLF001 - the step that loggers are told


def _random_state() -> dict[str, Any]:
    state = {
        "torch": torch.get_rng_state().numpy(),
        "numpy": np.random.get_state(),  # noqa: NPY002 - scvi-tools draws from it
        "python": random.getstate(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state().numpy()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(torch.as_tensor(state["torch"]))
    np.random.set_state(state["numpy"])  # noqa: NPY002 - scvi-tools draws from it
    random.setstate(state["python"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.as_tensor(state["cuda"]))


def _to_arrays(value: Any) -> Any:  # noqa: ANN401
    """Replace tensors, deep inside, by arrays."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, dict):
        return {key: _to_arrays(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_to_arrays(entry) for entry in value)
    return value


def _to_tensors(value: Any) -> Any:  # noqa: ANN401
    """Undo :func:`_to_arrays`."""
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value)
    if isinstance(value, dict):
        return {key: _to_tensors(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_to_tensors(entry) for entry in value)
    return value


def check_has_checkpoint(folder: Path) -> None:
    """Raise where a folder holds no checkpoint.

    Parameters
    ----------
    folder
        Folder from which training is to go on.
    """
    if not (folder / DESCRIPTION_NAME).is_file():
        message = (
            f"{str(folder)!r} holds no checkpoint. The first one is written when the second epoch "
            "begins. Pass the folder that was `checkpoint` of the training that was stopped, or leave "
            "`resume` out to begin anew."
        )
        raise CheckpointError(message)


def check_same_run(folder: Path, found: dict[str, Any], run: TrainingRun) -> None:
    """Raise where a checkpoint is of another training.

    Parameters
    ----------
    folder
        Folder of the checkpoint.
    found
        What it says of its training.
    run
        The training that is to go on.
    """
    if found["cells"] != run.cells:
        message = (
            f"The checkpoint in {str(folder)!r} is of other cells: their counts, labels or order "
            "differ. Set up the model with the cells of the training that was stopped, or leave "
            "`resume` out to begin anew."
        )
        raise CheckpointError(message)
    for name in sorted({*found["settings"], *run.settings}):
        before, now = found["settings"].get(name), run.settings.get(name)
        if before != now:
            message = (
                f"The checkpoint in {str(folder)!r} is of a training with `{name}` {before}, and now "
                f"it is {now}. Train with the settings of the training that was stopped, or leave "
                "`resume` out to begin anew."
            )
            raise CheckpointError(message)


def check_one_process(n_processes: int) -> None:
    """Raise where several processes train together, of which each has random numbers of its own.

    Parameters
    ----------
    n_processes
        Processes that train.
    """
    if n_processes > 1:
        message = (
            f"`checkpoint` and `resume` need one process, and {n_processes} train together. Leave "
            "them out, or train with `devices=1`."
        )
        raise ValueError(message)
