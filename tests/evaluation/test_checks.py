import re

import numpy as np
import pytest

from scgim.evaluation import _checks as checks


def raises(message, error=ValueError):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def warns(message):
    return pytest.warns(UserWarning, match=f"^{re.escape(message)}$")


def test_missing_genes_are_named_with_the_closest():
    message = (
        "`predictions` lack 1 of the 2 genes of `adata`: 'STAT1'. The names closest to 'STAT1' are "
        "['stat1', 'STAT2']. Predict every gene, or evaluate on "
        "`adata[:, predictions.var_names]`."
    )
    with raises(message):
        checks.check_predicted_genes(["stat1", "STAT2"], ["STAT1", "STAT2"])


def test_repeated_genes_are_named():
    message = (
        "`predictions.var_names` has 'a' more than once, so it is not clear which column to score. "
        "Make them unique."
    )
    with raises(message):
        checks.check_predicted_genes(["a", "a", "b"], ["a", "b"])


def test_genes_in_another_order_are_put_in_order_and_said():
    message = (
        "`predictions` have the genes of `adata` in another order. They are put in order by name: "
        "make sure that the names belong to the columns."
    )
    with warns(message):
        assert checks.check_predicted_genes(["b", "a"], ["a", "b"]) == [1, 0]


def test_extra_genes_are_left_out_and_said():
    message = (
        "`predictions` have 1 genes that `adata` lacks: 'c'. They are left out, also from the totals "
        "by which counts are normalised."
    )
    with warns(message):
        assert checks.check_predicted_genes(["c", "a", "b"], ["a", "b"]) == [1, 2]


def test_scaled_predictions_are_named():
    message = (
        "`predictions` hold scaled expression (centred genes, a fifth or more of the values below 0), "
        "but `adata` holds counts (whole numbers) and is scored as log1p of counts per 10,000. Predict "
        "in that space, or undo the transformation before evaluating."
    )
    with raises(message):
        checks.check_comparable_space("scaled", "counts", n_genes=5)


def test_counts_beside_log_expression_are_named():
    message = (
        "`predictions` hold counts (whole numbers), but `adata` holds log1p of normalised counts and "
        "is scored as it is. Predict in that space, or undo the transformation before evaluating."
    )
    with raises(message):
        checks.check_comparable_space("counts", "log1p", n_genes=5)


def test_logarithms_of_another_total_are_named():
    message = (
        "`predictions` hold log1p of normalised counts, with a median total of 1000000 over the 5 "
        "genes, but `adata` is scored as log1p of counts per 10,000 over these genes. Predict counts, "
        "or normalise to 10,000 before the logarithm."
    )
    with raises(message):
        checks.check_comparable_space("log1p", "counts", n_genes=5, total=1e6)


def test_predictions_that_are_nan_are_counted():
    message = (
        "`predictions` have 2 values that are NaN or infinite. A model that diverged has no score: "
        "repair or retrain it, or leave out these conditions for all predictors."
    )
    with raises(message):
        checks.check_finite_expression(np.array([[np.nan, 1.0], [np.inf, 0.0]]))


def test_a_predictor_that_gives_nan_without_a_reason_is_named():
    message = (
        "The predictor 'mine' gave shifts that are NaN or infinite for 1 of 2 conditions. Repair it, "
        "or let its `why_not` say why it cannot predict them."
    )
    with raises(message):
        checks.check_predicted_shift("mine", np.array([[np.nan, 1.0], [0.0, 0.0]]), expected=2)


def test_a_predictor_that_skips_conditions_is_named():
    message = (
        "The predictor 'mine' gave 1 shifts for 2 conditions. Return one row per condition, in the "
        "order of the table."
    )
    with raises(message):
        checks.check_predicted_shift("mine", np.zeros((1, 3)), expected=2)


def test_conditions_without_predictions_are_named():
    message = (
        "`predictions` have no cells for 1 of 3 held-out conditions: 'A, dose 1'. Predict them all, "
        "with `obs` columns named as in `adata`: a score over conditions that a predictor chose itself "
        "cannot be compared."
    )
    with raises(message):
        checks.check_predicted_conditions(["A, dose 1"], 3)


def test_identical_controls_are_refused():
    message = (
        "`predictions` contain 7 cells of the control 'vehicle' that are identical to control cells of "
        "`adata`. Predictions and truth must not be compared with the same control cells: their shared "
        "noise counts as success and can be gamed. Leave the control out, scgim uses disjoint control "
        "cells for both: `predictions[predictions.obs[perturbation] != 'vehicle']`."
    )
    with raises(message):
        checks.check_no_copied_cells(n_control=7, n_held_out=0, control="vehicle")


def test_copies_of_the_truth_are_refused():
    message = (
        "3 cells of `predictions` are copies of held-out cells of `adata`. Their score would be that "
        "of the truth. Pass predictions of a model that did not see these cells."
    )
    with raises(message):
        checks.check_no_copied_cells(n_control=0, n_held_out=3, control="vehicle")


def test_own_controls_are_said_not_to_be_used():
    message = (
        "`predictions` bring 5 control cells ('vehicle') of their own. They are not used: all shifts "
        "are taken from control cells of `adata`."
    )
    with warns(message):
        checks.warn_own_controls(5, "vehicle")


def test_too_few_control_cells_to_share_are_refused():
    message = (
        "`adata` has 3 control cells in the context 'A549', but at least 4 are needed: half of them for "
        "the predictors and the other half for the truth. With identical controls on both sides their "
        "shared noise counts as success. Add control cells."
    )
    with raises(message):
        checks.check_disjoint_controls("A549", 3)


def test_a_split_without_training_perturbations_is_refused():
    message = (
        "The split holds out all 9 treated conditions, so no perturbation is left to train on and "
        "every prediction would be a guess. Hold out fewer."
    )
    with raises(message):
        checks.check_training_remains(0, n_held_out=9)


def test_held_out_conditions_without_cells_are_named():
    message = (
        "1 held-out conditions have no cells in `adata`: 'A, dose 1'. Use the screen that the split "
        "was made for, or make a new split."
    )
    with raises(message):
        checks.check_held_out_cells(["A, dose 1"])


def test_a_model_that_saw_the_answer_is_refused():
    message = (
        "This GIM was trained on 1 of the held-out conditions: 'A, dose 1'. Its score would be that "
        "of memory. Train it on `split.training(adata)`."
    )
    with raises(message):
        checks.check_not_trained_on(["A, dose 1"])


def test_what_cannot_be_evaluated_is_named():
    message = (
        "An object of type 'int' cannot be evaluated. Pass a trained `scgim.model.GIM`, an AnnData of "
        "predicted cells, an object with `name`, `fit`, `predict_shift` and `predict_cells`, or a "
        "dictionary from names to these."
    )
    with raises(message, TypeError):
        raise checks.refuse_predictor(3)


def test_names_that_are_taken_are_refused():
    message = (
        "The names 'ridge' are used more than once among predictors, baselines and ceilings. Give each "
        "predictor a name of its own."
    )
    with raises(message):
        checks.check_new_names({"ridge"})


def test_predictions_without_a_column_of_the_design_are_told_its_name():
    message = (
        "`predictions.obs` has no column 'drug'; the columns closest to it are ['Drug']. Name "
        "perturbation, dose and context as in `adata.obs`."
    )
    with raises(message):
        checks.check_predicted_columns(["drug"], ["Drug", "plate"])
