import re

import pytest

from scgim.evaluation import _screen_checks as checks


def raises(message, error=ValueError):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def test_perturbations_without_features_are_named():
    message = (
        "'B' have no row of features, so no baseline can predict them. The names closest to 'B' are "
        "['b']. Add the rows."
    )
    with raises(message):
        checks.check_has_features(["A", "B"], ["A", "b"])


def test_a_predictor_that_was_not_fitted_is_named():
    with raises(
        "The predictor 'ridge' has not been fitted. Call its `fit` first.", error=RuntimeError
    ):
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


def test_cells_of_an_unknown_condition_are_counted():
    message = (
        "`adata.obs['dose']` has no value for 3 cells, so it is not known which condition they belong "
        "to. Fill in the values, or leave these cells out."
    )
    with raises(message):
        checks.check_design_is_known("dose", n_missing=3)
    checks.check_design_is_known("dose", n_missing=0)


def test_features_that_are_not_there_are_told_the_closest():
    message = (
        "`features='drug_feature'` is not an entry of `adata.uns`. The entries closest to it are "
        "['drug_features']. Pass one of them, or `features=None` for a screen without features."
    )
    with raises(message):
        checks.check_has_feature_table("drug_feature", ["drug_features", "pca"])
    checks.check_has_feature_table(None, [])


def test_a_context_without_control_cells_is_named():
    message = (
        "No control cell of `adata` has 'A549' in `adata.obs['line']`, so effects there have nothing "
        "to be compared with. Add control cells of this context, or leave it out."
    )
    with raises(message):
        checks.check_has_control_cells("line", "A549", n_cells=0)
