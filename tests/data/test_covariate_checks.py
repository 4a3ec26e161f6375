import numpy as np
import pandas as pd
import pytest

from scgim.data._covariate_checks import check_covariates

GOOD = pd.DataFrame(
    {
        "text": ["a", "b", "a"],
        "whole": [1, 2, 1],
        "real": [1.7e9, -3.0, 0.0],
        "factor": [0.5, 1.0, 2.0],
    },
    index=["c1", "c2", "c3"],
)
KEYS = {
    "batch_key": ["whole"],
    "categorical_covariate_keys": ["text"],
    "continuous_covariate_keys": ["real"],
    "size_factor_key": ["factor"],
}


def test_what_can_be_used_is_accepted():
    check_covariates(GOOD, KEYS)
    check_covariates(GOOD, {})
    check_covariates(GOOD.astype({"real": "Float32", "text": "category", "whole": "Int64"}), KEYS)


@pytest.mark.parametrize("key", ["text", "whole"])
def test_a_cell_without_a_category_is_refused(key):
    obs = GOOD.astype({key: object})
    obs.loc["c2", key] = np.nan
    with pytest.raises(ValueError, match=rf"'{key}'\]` is missing for 1 of 3 cells"):
        check_covariates(obs, KEYS)


def test_text_mixed_with_numbers_is_refused():
    with pytest.raises(ValueError, match=r"mixes int and str.*adata.obs\['text'\].astype\(str\)"):
        check_covariates(GOOD.assign(text=pd.Series(["1", 1, "a"], GOOD.index)), KEYS)


@pytest.mark.parametrize("key", ["real", "factor"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused_and_their_cells_named(key, value):
    obs = GOOD.copy()
    obs.loc["c3", key] = value
    with pytest.raises(
        ValueError, match=rf"'{key}'\]` is missing \(NaN\) or infinite for 1 .*'c3'"
    ):
        check_covariates(obs, KEYS)


@pytest.mark.parametrize("column", [["1", "2", "x"], [1j, 2j, 3j], list("abc")])
def test_a_continuous_covariate_that_is_no_real_number_is_refused(column):
    with pytest.raises(ValueError, match="but a continuous covariate is a real number"):
        check_covariates(GOOD.assign(real=column), KEYS)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_size_factors_are_positive(value):
    obs = GOOD.copy()
    obs.loc["c2", "factor"] = value
    with pytest.raises(ValueError, match=r"'factor'\]` is zero or negative for 1 of 3 cells.*'c2'"):
        check_covariates(obs, KEYS)
