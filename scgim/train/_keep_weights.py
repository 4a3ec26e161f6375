from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from scgim.train._gim_training_plan import SCORE

TOLERANCE = 0.02


class KeepWeights(pl.Callback):
    """Keep the best and the last finite weights, so that nothing trained is lost.

    The best weights are those with the highest score on held-out conditions. Training stops when
    the score has stayed clearly (0.02) below its best, and the best weights are put back at the
    end when they are clearly better than the last ones. A plateau is no reason to stop: the
    weakest gene programs are found long after the score, and its noise must not undo the end of
    the learning-rate schedule.

    Parameters
    ----------
    module
        Module whose weights are kept.
    patience
        Epochs with a clearly lower score after which training stops; ``None`` never stops.
    """

    def __init__(self, module: nn.Module, patience: int | None) -> None:
        self._module = module
        self._patience = patience
        self._best_score = -math.inf
        self._last_good_epoch = 0
        self._best: dict[str, Tensor] | None = None
        self._last: dict[str, Tensor] | None = None
        self._last_score = -math.inf
        self.n_epochs = 0
        self.was_interrupted = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Remember the weights of a finished epoch if they are finite."""
        self.n_epochs = trainer.current_epoch + 1
        weights = self._copy()
        if all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
            self._last = weights

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Compare the score with the best one."""
        if trainer.sanity_checking or SCORE not in trainer.callback_metrics:
            return
        self._last_score = float(trainer.callback_metrics[SCORE])
        if self._last_score > self._best_score:
            self._best_score, self._best = self._last_score, self._copy()
        if self._last_score > self._best_score - TOLERANCE:
            self._last_good_epoch = trainer.current_epoch
        elif self._patience is not None:
            is_over = trainer.current_epoch - self._last_good_epoch >= self._patience
            trainer.should_stop = trainer.should_stop or is_over

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Put the best weights back if they are clearly better than the last ones."""
        if self._best is not None and self._best_score > self._last_score + TOLERANCE:
            self._module.load_state_dict(self._best)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Note an interruption by the user."""
        self.was_interrupted = isinstance(exception, KeyboardInterrupt)

    def restore_last(self) -> None:
        """Go back to the last finite weights; to the start when no epoch was finished."""
        if self._last is not None:
            self._module.load_state_dict(self._last)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Remember the start."""
        self._last = self._copy()

    def _copy(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._module.state_dict().items()}
