from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scgim.train._gim_training_plan import SCORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import lightning.pytorch as pl

# With all that stands beside it, a line of less than 80 columns.
BAR_WIDTH = 14


def make_progress(*, is_shown: bool) -> Progress:
    """Make a progress bar on the error stream whose words are never cut off.

    Parameters
    ----------
    is_shown
        Whether to show it.

    Returns
    -------
    The bar; its tasks have a field ``note`` for words after the bar.
    """
    return Progress(
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        BarColumn(BAR_WIDTH),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        disable=not is_shown,
    )


class TrainingProgressBar(ProgressBar):
    """One line for a training: epochs, time left, and the score on held-out conditions."""

    def __init__(self) -> None:
        super().__init__()
        self._is_shown = True
        self._bar: Progress | None = None

    def disable(self) -> None:
        """Show nothing; Lightning asks for it in all processes but the first."""
        self._is_shown = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draw the line."""
        self._bar = make_progress(is_shown=self._is_shown)
        self._task = self._bar.add_task(
            "Training", total=trainer.max_epochs, completed=trainer.current_epoch, note=""
        )
        self._bar.start()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Count the epoch."""
        if self._bar is not None:
            score = trainer.callback_metrics.get(SCORE)
            note = "" if score is None else f"R² {float(score):.2f} on held-out conditions"
            self._bar.update(self._task, completed=trainer.current_epoch + 1, note=note)

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Leave the line as it is, however the training ended."""
        if self._bar is not None:
            self._bar.stop()


def with_progress_bar(callbacks: Sequence[pl.Callback]) -> list[pl.Callback]:
    """Add a progress bar to callbacks, unless the user has chosen one.

    Parameters
    ----------
    callbacks
        Callbacks of a training.

    Returns
    -------
    The same with one progress bar.
    """
    has_one = any(isinstance(callback, ProgressBar) for callback in callbacks)
    return [*callbacks] if has_one else [*callbacks, TrainingProgressBar()]
