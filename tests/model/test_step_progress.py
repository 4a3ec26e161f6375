import logging

import pytest
import torch

from scgim.model._step_progress import show_cells, show_step, tell


def read(batch_size, n_cells):
    for _ in range(3):
        yield {"X": torch.ones(batch_size, 2)}


def test_cells_are_counted_and_the_next_step_is_named(capsys):
    with show_cells(read, 30, "Estimating", is_shown=True) as counted:
        assert len(list(counted(10, None))) == 3
    printed = capsys.readouterr()
    assert "30/30" in printed.err
    assert "Estimating" in printed.err
    assert printed.out == ""


def test_cells_pass_unchanged_where_nothing_is_shown(capsys):
    with show_cells(read, 30, "Estimating", is_shown=False) as counted:
        batches = list(counted(5, None))
    assert [batch["X"].shape for batch in batches] == [(5, 2)] * 3
    assert capsys.readouterr().err == ""


def test_a_step_that_fails_is_not_shown_as_done(capsys):
    with pytest.raises(ZeroDivisionError), show_step("Choosing the basis", is_shown=True):
        _ = 1 / 0
    assert "0/1" in capsys.readouterr().err


def test_a_sentence_is_logged_and_shown_where_progress_is(capsys, caplog):
    with caplog.at_level(logging.INFO):
        tell("Trained 2 of 3 epochs.", is_shown=True)
        tell("Hidden.", is_shown=False)
    assert "Trained 2 of 3 epochs." in capsys.readouterr().err
    assert [record.message for record in caplog.records] == ["Trained 2 of 3 epochs.", "Hidden."]
