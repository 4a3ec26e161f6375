import io
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from rich.console import Console

from scgim.train import _training_progress_bar as bars
from scgim.train._training_progress_bar import TrainingProgressBar, with_progress_bar

SCORE = "shift_r2_validation"


@pytest.fixture
def shown(monkeypatch):
    """What a terminal of 80 columns shows."""
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(bars, "Console", lambda **_: console)
    return text


def run(bar, n_epochs=400, n_done=400, score=0.834):
    trainer = SimpleNamespace(max_epochs=n_epochs, current_epoch=0, callback_metrics={})
    bar.on_train_start(trainer, None)
    trainer.current_epoch = n_done - 1
    if score is not None:
        trainer.callback_metrics = {SCORE: torch.tensor(score)}
    bar.on_train_epoch_end(trainer, None)
    bar.teardown(trainer, None, "fit")


@pytest.mark.parametrize("n_done", [121, 400])
def test_the_score_is_not_cut_off_in_80_columns(shown, n_done):
    run(TrainingProgressBar(), n_done=n_done)
    line = [line for line in shown.getvalue().splitlines() if "Training" in line][-1]
    assert f"Training {n_done}/400" in line
    assert "R² 0.83 on held-out conditions" in line


def test_without_a_score_only_epochs_are_shown(shown):
    run(TrainingProgressBar(), score=None)
    assert "400/400" in shown.getvalue()
    assert "R²" not in shown.getvalue()


def test_other_processes_show_nothing(shown):
    bar = TrainingProgressBar()
    bar.disable()
    run(bar)
    assert shown.getvalue().strip() == ""


def test_a_training_that_never_began_leaves_nothing_open(shown):
    TrainingProgressBar().teardown(None, None, "fit")
    assert shown.getvalue() == ""


def test_the_users_progress_bar_is_the_only_one():
    mine, other = RichProgressBar(), Callback()
    assert with_progress_bar([other, mine]) == [other, mine]
    added = with_progress_bar([other])
    assert added[0] is other
    assert isinstance(added[1], TrainingProgressBar)
