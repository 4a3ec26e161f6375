from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from scgim.pl import training_history


@pytest.fixture
def history():
    epochs = pd.RangeIndex(3, name="epoch")
    return {
        "elbo_train": pd.DataFrame({"elbo_train": [3.0, 2.0, 1.0]}, index=epochs),
        "elbo_validation": pd.DataFrame({"elbo_validation": [4.0, np.nan, 2.0]}, index=epochs),
        "kl_weight": pd.DataFrame({"kl_weight": [1.0, 1.0, 1.0]}, index=epochs),
    }


def test_both_elbos_are_drawn_by_default(history):
    lines = training_history(history).lines
    assert [line.get_label() for line in lines] == ["elbo_train", "elbo_validation"]
    np.testing.assert_allclose(lines[0].get_ydata(), [3.0, 2.0, 1.0])


def test_epochs_without_validation_are_skipped(history):
    line = training_history(history).lines[1]
    np.testing.assert_allclose(line.get_xdata(), [0, 2])


def test_metrics_asked_for_are_drawn(history):
    (line,) = training_history(history, metrics=["kl_weight"]).lines
    assert line.get_label() == "kl_weight"


def test_metric_that_was_not_logged_gets_the_closest(history):
    with pytest.raises(
        ValueError, match=r"'elbo_valid', which was not logged.*\['elbo_validation'"
    ):
        training_history(history, metrics=["elbo_valid"])


def test_history_without_elbo_draws_what_there_is():
    history = {"score": pd.DataFrame({"score": [1.0, 2.0]})}
    assert training_history(history).lines[0].get_label() == "score"


def test_untrained_model_is_told_to_train():
    with pytest.raises(RuntimeError, match=r"Call `GIM.train` first\."):
        training_history({})


def test_a_model_may_be_given_in_place_of_its_history(history):
    drawn = training_history(SimpleNamespace(history=history))
    assert [line.get_label() for line in drawn.lines] == ["elbo_train", "elbo_validation"]
    with pytest.raises(RuntimeError, match=r"Call `GIM.train` first\."):
        training_history(SimpleNamespace(history=None))


def test_what_has_no_history_is_refused():
    with pytest.raises(
        TypeError, match=r"`history` is of type 'int', which remembers no training\."
    ):
        training_history(3)
