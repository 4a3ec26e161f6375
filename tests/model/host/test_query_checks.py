import re

import pandas as pd
import pytest

from scgim.model.host import _query_checks as v


class GIM:
    is_trained_ = False


def _says(message, error=ValueError):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@pytest.fixture
def obs():
    return pd.DataFrame(
        {"drug": ["a", "b", "c"], "dose": [0.0, 1.0, 2.0], "donor": ["x", "y", "z"]}
    )


def test_a_reference_of_another_kind_is_named():
    message = (
        "`reference_model` is a int, but a GIM is mapped on new cells from a trained GIM or the "
        "folder of one. Pass either."
    )
    with _says(message, TypeError):
        v.check_reference(3, "GIM")


def test_an_untrained_reference_has_nothing_to_map():
    message = (
        "`reference_model` is not trained, so there is nothing to map. Call `GIM.train` first."
    )
    with _says(message, RuntimeError):
        v.check_reference(GIM(), "GIM")


def test_a_missing_column_is_named(obs):
    v.check_query_columns(obs, ["drug", "dose"])
    message = (
        "The new cells have no column 'lane', with which the model was set up. The columns closest "
        "to it are ['drug', 'dose', 'donor']. Add it under the name of training."
    )
    with _says(message):
        v.check_query_columns(obs, ["drug", "lane"])


def test_new_cells_need_no_control_but_usable_doses(obs):
    v.check_query_labels(obs[1:], perturbation_key="drug", control="a", dose_key="dose")
    obs.loc[2, "dose"] = -1.0
    with pytest.raises(ValueError, match="negative"):
        v.check_query_labels(obs, perturbation_key="drug", control="a", dose_key="dose")


def test_a_new_category_of_a_covariate_is_named(obs):
    message = (
        "`adata.obs['donor']` of the new cells has 'z', but its categories in training were 'x', "
        "'y'. Mapping learns new batches and new perturbations only. Map the new cells to known "
        "categories, or train anew on all cells."
    )
    with _says(message):
        v.check_query_covariates(obs, {"donor": ("x", "y")})


def test_a_new_perturbation_without_features_is_named():
    registered = pd.DataFrame({"f": [1.0]}, index=["a"])
    new = pd.DataFrame({"f": [2.0]}, index=["b"])
    v.check_query_features(None, None, ["c"], None)
    v.check_query_features(new, registered, ["b"], "features")
    message = (
        "Perturbation 'c' of the new cells has no features, neither in those of training nor in "
        "`adata.uns['features']` (1 of 2 new perturbations have none). Add its row there, or drop "
        "its cells."
    )
    with _says(message):
        v.check_query_features(new, registered, ["b", "c"], "features")


def test_new_features_must_be_those_of_training():
    registered = pd.DataFrame({"f": [1.0], "g": [2.0]}, index=["a"])
    new = pd.DataFrame({"f": [2.0]}, index=["b"])
    with pytest.raises(ValueError, match="`features` lacks 1 of the 2 columns of training: 'g'"):
        v.check_query_features(new, registered, ["b"], "features")
