import re

import anndata as ad
import numpy as np
import pytest

from scgim.evaluation import split
from scgim.evaluation._evaluate import prepare
from scgim.evaluation._predicted_cells import (
    check_no_copied_cells,
    check_predicted_columns,
    check_predicted_conditions,
    check_predicted_shift,
    predict_conditions,
    read_cells,
    warn_own_controls,
)
from scgim.evaluation._scoring import ScoringSettings

SETTINGS = ScoringSettings(n_cells=6, n_genes=20)


@pytest.fixture(scope="module")
def prepared(small_world):
    adata = small_world.screen()
    return prepare(adata, split(adata, "perturbation", fraction=0.4), SETTINGS)


@pytest.fixture
def predictions(prepared):
    """Six cells of each held-out condition, in counts."""
    _, truth = prepared
    obs = truth.conditions.iloc[np.repeat(np.arange(truth.n_conditions), 6)]
    counts = np.random.default_rng(0).poisson(3.0, (len(obs), truth.cells.n_vars))
    return ad.AnnData(
        counts.astype(np.float32),
        obs=obs.set_axis([f"p{i}" for i in range(len(obs))]),
        var=truth.cells.var[[]],
    )


def read(predictions, prepared):
    return read_cells(predictions, "mine", *prepared, SETTINGS)


def test_cells_are_arranged_by_condition_whatever_their_order(predictions, prepared):
    expected = read(predictions, prepared)
    order = np.random.default_rng(1).permutation(predictions.n_obs)
    found = read(predictions[order].copy(), prepared)
    np.testing.assert_allclose(found.shift, expected.shift, atol=1e-6)
    assert [len(cells) for cells in found.cells(np.arange(3))] == [6, 6, 6]


def test_shift_is_taken_from_the_controls_that_predictors_see(predictions, prepared):
    screen, truth = prepared
    found = read(predictions, prepared)
    cells = found.cells(np.array([0]))[0]
    np.testing.assert_allclose(found.shift[0], cells.mean(axis=0) - screen.control_mean, atol=1e-5)
    assert np.abs(screen.control_mean - truth.control.mean[0]).max() > 1e-3


def test_genes_in_another_order_give_the_same_scores_with_a_warning(predictions, prepared):
    expected = read(predictions, prepared).shift
    with pytest.warns(UserWarning, match="genes of `adata` in another order"):
        found = read(predictions[:, ::-1].copy(), prepared).shift
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_missing_genes_are_refused(predictions, prepared):
    with pytest.raises(ValueError, match="`predictions` lack 10 of the 60 genes"):
        read(predictions[:, 10:].copy(), prepared)


def test_missing_conditions_are_refused(predictions, prepared):
    with pytest.raises(ValueError, match="have no cells for 1 of 19 held-out conditions"):
        read(predictions[6:].copy(), prepared)


def test_nan_predictions_are_refused(predictions, prepared):
    predictions.X[0, 0] = np.nan
    with pytest.raises(ValueError, match="`predictions` have 1 values that are NaN"):
        read(predictions, prepared)


def test_scaled_predictions_are_refused(predictions, prepared):
    predictions.X = (predictions.X - predictions.X.mean(axis=0)) / predictions.X.std(axis=0)
    with pytest.raises(ValueError, match="`predictions` hold scaled expression"):
        read(predictions, prepared)


def test_log_of_counts_per_million_is_refused(predictions, prepared):
    total = predictions.X.sum(axis=1, keepdims=True)
    predictions.X = np.log1p(predictions.X / total * 1e6)
    with pytest.raises(ValueError, match="with a median total of 1000000 over the 60 genes"):
        read(predictions, prepared)


def test_missing_design_is_refused(predictions, prepared):
    del predictions.obs["dose"]
    with pytest.raises(ValueError, match=r"`predictions.obs` has no column 'dose'"):
        read(predictions, prepared)


def test_copies_of_the_truth_are_refused(predictions, prepared):
    _, truth = prepared
    copied = ad.AnnData(truth.cells.X, obs=truth.cells.obs[["drug", "dose"]], var=truth.cells.var)
    with pytest.raises(ValueError, match="are copies of held-out cells of `adata`"):
        read(copied, prepared)


def test_identical_controls_are_refused_and_own_ones_are_not_used(predictions, prepared):
    screen, _ = prepared
    control = screen.adata[screen.is_control][:5]
    control = ad.AnnData(control.X, obs=control.obs[["drug", "dose"]], var=control.var[[]])
    with pytest.raises(ValueError, match="5 cells of the control 'vehicle' that are identical"):
        read(ad.concat([predictions, control]), prepared)
    control.X = np.ones(control.shape, dtype=np.float32)
    with pytest.warns(UserWarning, match="bring 5 control cells"):
        found = read(ad.concat([predictions, control]), prepared)
    np.testing.assert_allclose(found.shift, read(predictions, prepared).shift, atol=1e-6)


class Broken:
    name = "broken"

    def __init__(self, shift):
        self.shift = shift

    def predict_shift(self, conditions):
        return self.shift[: len(conditions)]

    def predict_cells(self, conditions, n_cells, *, seed):
        return np.zeros((len(conditions), n_cells, self.shift.shape[1]), dtype=np.float32)


def test_a_predictor_that_gives_nan_or_too_little_is_named(prepared):
    _, truth = prepared
    shift = np.zeros_like(truth.shift)
    with pytest.raises(ValueError, match="The predictor 'broken' gave 3 shifts for 19"):
        predict_conditions(Broken(shift[:3]), truth, SETTINGS)
    shift[0] = np.nan
    with pytest.raises(ValueError, match="that are NaN or infinite for 1 of 19 conditions"):
        predict_conditions(Broken(shift), truth, SETTINGS)


def test_cells_are_asked_for_in_blocks_and_come_in_order(prepared):
    _, truth = prepared
    prediction = predict_conditions(Broken(np.zeros_like(truth.shift)), truth, SETTINGS)
    cells = prediction.cells(np.arange(truth.n_conditions))
    assert len(cells) == truth.n_conditions
    assert cells[0].shape == (6, truth.shift.shape[1])


def test_a_predictor_that_gives_nan_without_a_reason_is_named():
    message = (
        "The predictor 'mine' gave shifts that are NaN or infinite for 1 of 2 conditions. Repair it, "
        "or let its `why_not` say why it cannot predict them."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_predicted_shift("mine", np.array([[np.nan, 1.0], [0.0, 0.0]]), expected=2)


def test_a_predictor_that_skips_conditions_is_named():
    message = (
        "The predictor 'mine' gave 1 shifts for 2 conditions. Return one row per condition, in the "
        "order of the table."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_predicted_shift("mine", np.zeros((1, 3)), expected=2)


def test_conditions_without_predictions_are_named():
    message = (
        "`predictions` have no cells for 1 of 3 held-out conditions: 'A, dose 1'. Predict them all, "
        "with `obs` columns named as in `adata`: a score over conditions that a predictor chose itself "
        "cannot be compared."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_predicted_conditions(["A, dose 1"], 3)


def test_identical_controls_are_refused():
    message = (
        "`predictions` contain 7 cells of the control 'vehicle' that are identical to control cells of "
        "`adata`. Predictions and truth must not be compared with the same control cells: their shared "
        "noise counts as success and can be gamed. Leave the control out, scgim uses disjoint control "
        "cells for both: `predictions[predictions.obs[perturbation] != 'vehicle']`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_no_copied_cells(n_control=7, n_held_out=0, control="vehicle")


def test_copies_of_the_truth_are_counted():
    message = (
        "3 cells of `predictions` are copies of held-out cells of `adata`. Their score would be that "
        "of the truth. Pass predictions of a model that did not see these cells."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_no_copied_cells(n_control=0, n_held_out=3, control="vehicle")


def test_own_controls_are_said_not_to_be_used():
    message = (
        "`predictions` bring 5 control cells ('vehicle') of their own. They are not used: all shifts "
        "are taken from control cells of `adata`."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        warn_own_controls(5, "vehicle")


def test_predictions_without_a_column_of_the_design_are_told_its_name():
    message = (
        "`predictions.obs` has no column 'drug'; the columns closest to it are ['Drug']. Name "
        "perturbation, dose and context as in `adata.obs`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_predicted_columns(["drug"], ["Drug", "plate"])
