import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scgim.evaluation._training_screen import (
    ScreenKeys,
    TrainingScreen,
    check_has_control_cells,
    check_has_feature_table,
    log_normalize,
)


def test_log_normalize_counts_per_ten_thousand_for_sparse_and_dense():
    counts = np.array([[1, 3], [0, 5]], dtype=np.float32)
    expected = np.log1p([[2500, 7500], [0, 10000]])
    np.testing.assert_allclose(log_normalize(counts), expected, rtol=1e-6)
    np.testing.assert_allclose(log_normalize(sp.csr_matrix(counts)), expected, rtol=1e-6)


def test_empty_cell_stays_finite():
    np.testing.assert_array_equal(log_normalize(np.zeros((1, 2), dtype=np.float32)), 0)


def test_conditions_and_their_shift_from_the_control(tiny):
    assert tiny.conditions[["perturbation", "dose"]].to_numpy().tolist() == [
        ["A", 1.0],
        ["A", 10.0],
        ["B", 1.0],
        ["B", 10.0],
    ]
    assert (tiny.conditions["n_cells"] == 2).all()
    expected = np.log1p([[6000, 4000], [8000, 2000], [4000, 6000], [1000, 9000]]) - np.log1p(5000)
    np.testing.assert_allclose(tiny.shift, expected, rtol=1e-4)


def test_shift_agrees_with_group_means(screen):
    obs = screen.adata.obs
    chosen = screen.conditions.iloc[7]
    cells = (obs["drug"] == chosen["perturbation"]) & (obs["dose"] == chosen["dose"])
    expected = screen.expression[cells.to_numpy()].mean(axis=0) - screen.control_mean
    np.testing.assert_allclose(screen.shift[7], expected, atol=1e-5)


def test_features_are_standardized_on_seen_perturbations_only(tiny):
    # A and B are 0 and 1, so mean and deviation are one half, whatever "like A" has
    np.testing.assert_allclose(tiny.standardized_features["kind"], [-1.0, 1.0, -0.8])


def test_principal_components_know_the_training_cells_only(screen):
    np.testing.assert_allclose(screen.pca.mean_, screen.expression.mean(axis=0), atol=1e-4)
    assert screen.pca.n_components_ == 20


def test_combination_is_split_and_the_control_left_out(screen):
    assert screen.split("drug_01+drug_00") == ["drug_00", "drug_01"]
    assert screen.split("vehicle") == []


def test_screen_without_doses_has_one_condition_per_perturbation(tiny):
    screen = TrainingScreen(tiny.adata, ScreenKeys(dose=None))
    assert screen.conditions["n_cells"].tolist() == [4, 4]
    np.testing.assert_array_equal(screen.log10_dose(np.array([3.0])), [0.0])


def test_misspelt_control_is_named(tiny):
    with pytest.raises(ValueError, match=r"`control='vehicel'` is not a label .*'vehicle'"):
        TrainingScreen(tiny.adata, ScreenKeys(control="vehicel"))


def test_screen_of_control_cells_only_is_refused(tiny):
    with pytest.raises(ValueError, match="has control cells only"):
        TrainingScreen(tiny.adata[:4].copy())


def test_training_perturbation_without_features_is_named(tiny):
    adata = tiny.adata.copy()
    adata.uns["drug_features"] = pd.DataFrame({"kind": [0.0]}, index=["A"])
    with pytest.raises(ValueError, match="'B' have no row of features"):
        _ = TrainingScreen(adata).standardized_features


def test_features_that_are_not_there_are_named_at_once(tiny):
    with pytest.raises(ValueError, match=r"`features='drugs'` is not an entry of `adata.uns`"):
        TrainingScreen(tiny.adata, ScreenKeys(features="drugs"))


def test_features_that_are_not_there_are_told_the_closest():
    message = (
        "`features='drug_feature'` is not an entry of `adata.uns`. The entries closest to it are "
        "['drug_features']. Pass one of them, or `features=None` for a screen without features."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_has_feature_table("drug_feature", ["drug_features", "pca"])
    check_has_feature_table(None, [])


def test_a_context_without_control_cells_is_named():
    message = (
        "No control cell of `adata` has 'A549' in `adata.obs['line']`, so effects there have nothing "
        "to be compared with. Add control cells of this context, or leave it out."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_has_control_cells("line", "A549", n_cells=0)
