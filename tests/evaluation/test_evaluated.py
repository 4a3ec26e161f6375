import re

import anndata as ad
import numpy as np
import pytest

from scgim.evaluation import NoEffect, RidgeOnFeatures, split
from scgim.evaluation._evaluate import prepare
from scgim.evaluation._evaluated import (
    check_not_trained_on,
    name_predictors,
    predict_held_out,
    refuse_predictor,
)
from scgim.evaluation._scoring import ScoringSettings

SETTINGS = ScoringSettings(n_cells=10)


@pytest.fixture(scope="module")
def prepared(small_world):
    adata = small_world.screen()
    return prepare(adata, split(adata, "perturbation", seed=0), SETTINGS)


def test_each_kind_of_predictor_gets_a_name(gim):
    cells = ad.AnnData(np.ones((1, 1)))
    assert list(name_predictors(cells)) == ["predictions"]
    assert list(name_predictors(gim.model)) == ["GIM"]
    assert list(name_predictors(RidgeOnFeatures())) == ["ridge"]
    assert list(name_predictors({1: cells, "mine": gim})) == ["1", "mine"]


def test_a_predictor_is_fitted_and_asked_under_the_name_it_was_given(prepared):
    prediction, gim = predict_held_out("nothing", NoEffect(), *prepared, SETTINGS)
    assert prediction.name == "nothing"
    assert gim is None
    np.testing.assert_array_equal(prediction.shift, 0)


def test_a_trained_model_that_saw_the_answer_is_refused(gim, prepared):
    with pytest.raises(ValueError, match=r"This GIM was trained on .* of the held-out conditions"):
        predict_held_out("GIM", gim.model, *prepared, SETTINGS)


def test_what_cannot_be_evaluated_is_refused(prepared):
    with pytest.raises(TypeError, match="An object of type 'int' cannot be evaluated"):
        name_predictors(3)
    with pytest.raises(TypeError, match="An object of type 'str' cannot be evaluated"):
        predict_held_out("mine", "model", *prepared, SETTINGS)


def test_a_model_that_saw_the_answer_is_refused():
    message = (
        "This GIM was trained on 1 of the held-out conditions: 'A, dose 1'. Its score would be that "
        "of memory. Train it on `split.training(adata)`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_not_trained_on(["A, dose 1"])


def test_what_cannot_be_evaluated_is_named():
    message = (
        "An object of type 'int' cannot be evaluated. Pass a trained `scgim.model.GIM`, an AnnData of "
        "predicted cells, an object with `name`, `fit`, `predict_shift` and `predict_cells`, or a "
        "dictionary from names to these."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        raise refuse_predictor(3)
