from types import SimpleNamespace

import pytest
import torch
from torch import nn

from scgim.train import KeepWeights

SCORE = "shift_r2_validation"


class _Run:
    """Runs the callback through epochs, each with its weight and its score."""

    def __init__(self, patience=None):
        self.module = nn.Linear(1, 1, bias=False)
        self.keep = KeepWeights(self.module, patience)
        self.trainer = SimpleNamespace(
            current_epoch=0, callback_metrics={}, sanity_checking=False, should_stop=False
        )
        self.set(0.0)
        self.keep.on_fit_start(self.trainer, None)

    def set(self, weight):
        self.module.weight.data.fill_(weight)

    @property
    def weight(self):
        return self.module.weight.item()

    def epochs(self, *weights_and_scores):
        for epoch, (weight, score) in enumerate(weights_and_scores):
            self.trainer.current_epoch = epoch
            self.set(weight)
            self.trainer.callback_metrics = {} if score is None else {SCORE: torch.tensor(score)}
            self.keep.on_validation_end(self.trainer, None)
            self.keep.on_train_epoch_end(self.trainer, None)
            if self.trainer.should_stop:
                break
        self.keep.on_train_end(self.trainer, None)
        return self


@pytest.fixture
def run():
    return _Run()


def test_clearly_better_weights_are_put_back_at_the_end(run):
    assert run.epochs((1.0, 0.2), (2.0, 0.9), (3.0, 0.5)).weight == 2.0


def test_last_weights_stay_when_the_best_are_hardly_better(run):
    assert run.epochs((1.0, 0.2), (2.0, 0.900), (3.0, 0.8995)).weight == 3.0


def test_weights_stay_without_any_score(run):
    assert run.epochs((1.0, None), (2.0, None)).weight == 2.0


def test_the_last_finite_weights_can_be_restored(run):
    run.epochs((1.0, 0.1), (2.0, 0.2), (float("nan"), float("nan")))
    run.set(float("nan"))
    run.keep.restore_last()
    assert run.weight == 2.0


def test_the_start_is_restored_when_no_epoch_was_finite(run):
    run.epochs((float("nan"), None))
    run.keep.restore_last()
    assert run.weight == 0.0


def test_training_stops_after_patience_epochs_of_a_fallen_score():
    run = _Run(patience=2)
    run.epochs((1.0, 0.9), (2.0, 0.5), (3.0, 0.5), (4.0, 0.5), (5.0, 0.5))
    assert run.trainer.should_stop
    assert run.keep.n_epochs == 3
    assert run.weight == 1.0


def test_training_never_stops_without_patience(run):
    run.epochs(*[(1.0, 1.0 - epoch) for epoch in range(30)])
    assert not run.trainer.should_stop


def test_a_plateau_is_no_reason_to_stop():
    run = _Run(patience=2).epochs(*[(1.0, 0.9)] * 12)
    assert not run.trainer.should_stop


def test_a_score_before_training_does_not_count(run):
    run.trainer.sanity_checking = True
    run.trainer.callback_metrics = {SCORE: torch.tensor(5.0)}
    run.keep.on_validation_end(run.trainer, None)
    run.trainer.sanity_checking = False
    assert run.epochs((7.0, 0.1)).weight == 7.0


def test_an_interruption_is_told_from_an_error(run):
    run.keep.on_exception(run.trainer, None, ValueError())
    assert not run.keep.was_interrupted
    run.keep.on_exception(run.trainer, None, KeyboardInterrupt())
    assert run.keep.was_interrupted


def test_it_says_which_epoch_was_kept(run):
    run.epochs((1.0, 0.2), (2.0, 0.9), (3.0, 0.5))
    assert run.keep.describe() == (
        "It keeps the weights of epoch 2 of 3, the best (score on held-out conditions 0.90; 0.50 at "
        "the end)."
    )


def test_it_says_that_the_last_epoch_was_kept(run):
    run.epochs((1.0, 0.2), (2.0, 0.9))
    assert run.keep.describe() == (
        "It keeps the weights of epoch 2 of 2 (score on held-out conditions 0.90)."
    )


def test_without_a_score_it_names_the_epoch_alone(run):
    run.epochs((1.0, None), (2.0, None))
    assert run.keep.describe() == "It keeps the weights of epoch 2 of 2."


def test_without_an_epoch_it_says_so(run):
    run.keep.restore_finished()
    assert run.keep.describe() == "No epoch was finished, so the weights are those it started with."


def test_the_best_finished_epoch_is_put_back_from_within_an_epoch(run):
    run.epochs((1.0, 0.2), (2.0, 0.9), (3.0, 0.5))
    run.set(7.0)
    run.keep.restore_finished()
    assert run.weight == 2.0


def test_the_last_finished_epoch_is_put_back_where_none_is_better(run):
    run.epochs((1.0, 0.2), (2.0, 0.9))
    run.set(7.0)
    run.keep.restore_finished()
    assert run.weight == 2.0


def test_what_was_kept_can_be_taken_over(run):
    run.epochs((1.0, 0.9), (2.0, 0.2))
    best, values = run.keep.state()
    other = _Run()
    other.set(2.0)
    other.keep.load_state(values, best)
    other.keep.restore_finished()
    assert other.weight == 1.0
    assert other.keep.describe() == run.keep.describe()
