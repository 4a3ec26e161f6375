import re

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


def test_perturbations_without_features_are_named():
    message = (
        "'B' have no row of features, so no baseline can predict them. The names closest to 'B' are "
        "['b']. Add the rows."
    )
    with raises(message):
        checks.check_has_features(["A", "B"], ["A", "b"])


def test_a_predictor_that_was_not_fitted_is_named():
    message = "The predictor 'ridge' has not been fitted. Call its `fit` first."
    with raises(message, RuntimeError):
        checks.check_is_fitted("ridge", is_fitted=False)


def test_a_screen_without_its_control_is_refused():
    message = (
        "`control='vehicle'` is not a label of `adata.obs['drug']`. The closest labels are "
        "['Vehicle']. Pass the label of the control cells."
    )
    with raises(message):
        checks.check_screen_labels("drug", ["a", "Vehicle"], "vehicle")


def test_a_screen_of_control_cells_only_is_refused():
    message = (
        "`adata.obs['drug']` has control cells only ('vehicle'), but a benchmark needs treated cells. "
        "Add them."
    )
    with raises(message):
        checks.check_screen_labels("drug", ["vehicle"], "vehicle")


def test_an_argument_that_the_kind_needs_is_named():
    message = "`kind='group'` needs `groups`, which was not given. Pass `groups=...`."
    with raises(message):
        checks.check_split_argument("group", "groups", is_given=False)


def test_a_column_that_is_not_there_is_told_the_closest():
    message = (
        "`context='cellline'` is not a column of `adata.obs`. The columns closest to it are "
        "['cell_line']. Pass one of them."
    )
    with raises(message):
        checks.check_has_column("context", "cellline", ["cell_line", "dose"])
