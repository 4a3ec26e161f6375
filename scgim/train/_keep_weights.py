from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from scgim.train._gim_training_plan import SCORE

TOLERANCE = 0.02
# Scores and epochs that a training needs to go on.
STATE = ("_best_score", "_best_epoch", "_last_good_epoch", "_last_score", "n_epochs")


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
        self._best_epoch = 0
        self._last_good_epoch = 0
        self._best: dict[str, Tensor] | None = None
        self._last: dict[str, Tensor] | None = None
        self._last_score = -math.inf
        self.n_epochs = 0
        self.kept_epoch = 0
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
            self._best_epoch = trainer.current_epoch
        if self._last_score > self._best_score - TOLERANCE:
            self._last_good_epoch = trainer.current_epoch
        elif self._patience is not None:
            is_over = trainer.current_epoch - self._last_good_epoch >= self._patience
            trainer.should_stop = trainer.should_stop or is_over

    def on_train_end(self, trainer: pl.Trainer | None, pl_module: Any) -> None:
        """Put the best weights back if they are clearly better than the last ones."""
        if self._best is not None and self._best_score > self._last_score + TOLERANCE:
            self._module.load_state_dict(self._best)
            self.kept_epoch = self._best_epoch + 1
        else:
            self.kept_epoch = self.n_epochs

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Note an interruption by the user."""
        self.was_interrupted = isinstance(exception, KeyboardInterrupt)

    def restore_finished(self) -> None:
        """Go back to the best finished epoch, as at the end of training, from within an epoch."""
        self.restore_last()
        self.on_train_end(None, None)

    def describe(self) -> str:
        """Say in a sentence which epoch the weights are of, and how it scored."""
        if not self.kept_epoch:
            return "No epoch was finished, so the weights are those it started with."
        is_last = self.kept_epoch == self.n_epochs
        score = self._last_score if is_last else self._best_score
        which = f"the weights of epoch {self.kept_epoch} of {self.n_epochs}"
        if not math.isfinite(score):
            return f"It keeps {which}."
        explains = f"score on held-out conditions {score:.2f}"
        if is_last:
            return f"It keeps {which} ({explains})."
        return f"It keeps {which}, the best ({explains}; {self._last_score:.2f} at the end)."

    def state(self) -> tuple[dict[str, Tensor], dict[str, float | int]]:
        """Hold what is needed to go on later.

        Returns
        -------
        The best weights, none before the first score; and scores and epochs by name.
        """
        values = {name: vars(self)[name] for name in STATE}
        return self._best or {}, values

    def load_state(self, values: dict[str, float | int], best: dict[str, Tensor]) -> None:
        """Take over what :meth:`state` held, the weights of the module being the last ones.

        Parameters
        ----------
        values
            Scores and epochs by name.
        best
            The best weights, none before the first score.
        """
        vars(self).update({name: values[name] for name in STATE})
        self._best, self._last = best or None, self._copy()

    def restore_last(self) -> None:
        """Go back to the last finite weights; to the start when no epoch was finished."""
        if self._last is not None:
            self._module.load_state_dict(self._last)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Remember the start."""
        self._last = self._copy()

    def _copy(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._module.state_dict().items()}
