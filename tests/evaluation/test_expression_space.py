import re

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from scgim.evaluation._expression_space import (
    check_comparable_space,
    check_finite_expression,
    detect_space,
    log_normalize,
    read_predictions,
)

COUNTS = np.random.default_rng(0).poisson(3.0, (40, 20)).astype(np.float32)
NORMALIZED = COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4
SPACES = {
    "counts": COUNTS,
    "normalized": NORMALIZED,
    "log1p": np.log1p(NORMALIZED),
    "scaled": (COUNTS - COUNTS.mean(axis=0)) / COUNTS.std(axis=0),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("as_stored", [np.asarray, sp.csr_matrix])
def test_space_is_told_from_the_values(name, as_stored):
    assert detect_space(as_stored(SPACES[name])) == name


def test_log_expression_that_dips_below_zero_is_not_scaled():
    assert detect_space(np.log1p(NORMALIZED) - 0.05 * (COUNTS == 0)) == "log1p"


@pytest.mark.parametrize("name", ["counts", "normalized", "log1p"])
def test_predictions_in_any_counted_space_become_the_same(name):
    predictions = ad.AnnData(SPACES[name])
    read = read_predictions(predictions, "counts")
    np.testing.assert_allclose(read, log_normalize(COUNTS), rtol=1e-4)


def test_the_stated_space_of_our_own_predictions_is_believed():
    predictions = ad.AnnData(NORMALIZED, uns={"scgim": {"space": "normalized"}})
    np.testing.assert_allclose(
        read_predictions(predictions, "counts"), log_normalize(COUNTS), rtol=1e-4
    )
    assert detect_space(np.round(NORMALIZED)) == "counts"


def test_log_expression_is_compared_as_it_is():
    predictions = ad.AnnData(SPACES["log1p"])
    np.testing.assert_array_equal(read_predictions(predictions, "log1p"), SPACES["log1p"])


def test_scaled_predictions_are_named():
    message = (
        "`predictions` hold scaled expression (centred genes, a fifth or more of the values below 0), "
        "but `adata` holds counts (whole numbers) and is scored as log1p of counts per 10,000. Predict "
        "in that space, or undo the transformation before evaluating."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_comparable_space("scaled", "counts", n_genes=5)


def test_counts_beside_log_expression_are_named():
    message = (
        "`predictions` hold counts (whole numbers), but `adata` holds log1p of normalised counts and "
        "is scored as it is. Predict in that space, or undo the transformation before evaluating."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_comparable_space("counts", "log1p", n_genes=5)


def test_logarithms_of_another_total_are_named():
    message = (
        "`predictions` hold log1p of normalised counts, with a median total of 1000000 over the 5 "
        "genes, but `adata` is scored as log1p of counts per 10,000 over these genes. Predict counts, "
        "or normalise to 10,000 before the logarithm."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_comparable_space("log1p", "counts", n_genes=5, total=1e6)


def test_predictions_that_are_nan_are_counted():
    message = (
        "`predictions` have 2 values that are NaN or infinite. A model that diverged has no score: "
        "repair or retrain it, or leave out these conditions for all predictors."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_finite_expression(np.array([[np.nan, 1.0], [np.inf, 0.0]]))
