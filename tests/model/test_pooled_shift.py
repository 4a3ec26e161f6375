import numpy as np
import pytest

from scgim.model import predict_pooled_shift

CONDITIONS = [("drug_a", 1.0), ("drug_x", 10.0), ("drug_a+drug_x", 1.0)]


def width(predicted):
    return predicted.layers["upper"] - predicted.layers["lower"]


class Moved:
    """The same model, but every mean shift is larger by a constant."""

    def __init__(self, model, by):
        self.model, self.by = model, by

    def __getattr__(self, name):
        return getattr(self.model, name)

    def predict_shift(self, conditions, **kwargs):
        predicted = self.model.predict_shift(conditions, **kwargs)
        predicted.X = predicted.X + self.by
        for end in ("lower", "upper"):
            predicted.layers[end] = predicted.layers[end] + self.by
        return predicted


@pytest.fixture(scope="module")
def other(make, trained):
    return trained(make(), max_epochs=3)


@pytest.mark.parametrize("level", [0.5, 0.8, 1.0])
def test_identical_trainings_have_the_interval_of_one(model, level):
    one = model.predict_shift(CONDITIONS, level=level)
    pooled = predict_pooled_shift([model, model, model], CONDITIONS, level=level)
    np.testing.assert_allclose(pooled.X, one.X, atol=1e-6)
    np.testing.assert_allclose(width(pooled), width(one), atol=1e-5)
    np.testing.assert_array_equal(pooled.layers["spread"], 0)


def test_trainings_that_disagree_have_a_wider_interval_around_their_mean(model):
    one = model.predict_shift(CONDITIONS)
    pooled = predict_pooled_shift([model, Moved(model, 2.0)], CONDITIONS)
    np.testing.assert_allclose(pooled.X, one.X + 1.0, atol=1e-5)
    np.testing.assert_allclose(pooled.layers["spread"], 1.0, atol=1e-5)
    expected = 2 * np.sqrt((width(one) / 2) ** 2 + 1.2815515655446004**2)
    np.testing.assert_allclose(width(pooled), expected, rtol=1e-4)


def test_the_order_of_trainings_does_not_matter(model, other):
    first = predict_pooled_shift([model, other], CONDITIONS)
    second = predict_pooled_shift([other, model], CONDITIONS)
    for table in (lambda a: a.X, width, lambda a: a.layers["spread"]):
        np.testing.assert_allclose(table(first), table(second), rtol=1e-6)
    assert (first.layers["spread"][1:] > 0).any()


def test_what_is_known_of_the_conditions_comes_along(model):
    one = model.predict_shift(CONDITIONS)
    pooled = predict_pooled_shift([model, model], CONDITIONS)
    assert pooled.obs.equals(one.obs)
    assert pooled.var_names.equals(one.var_names)
    assert pooled.uns["scgim"] == one.uns["scgim"] | {"n_models": 2}


def test_trainings_of_other_screens_are_refused(model, make, trained):
    other = trained(make(drugs=("drug_a", "drug_b", "drug_c", "drug_d")))
    with pytest.raises(ValueError, match=r"`models\[1\]` differs from `models\[0\]` in its cond"):
        predict_pooled_shift([model, other], CONDITIONS)


def test_no_training_at_all_is_refused():
    with pytest.raises(ValueError, match="`models` is empty"):
        predict_pooled_shift([], CONDITIONS)
