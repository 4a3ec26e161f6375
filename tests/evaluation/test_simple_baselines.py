import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.evaluation import _simple_baselines
from scgim.evaluation._training_screen import ScreenKeys, TrainingScreen


def fitted(make, screen):
    predictor = make()
    predictor.fit(screen)
    return predictor


@pytest.fixture
def pairs():
    """Perturbations A, B and A+B without doses; three genes, cells without noise."""
    means = {
        "control": [50, 50, 50],
        "A": [80, 50, 50],
        "B": [50, 80, 50],
        "A+C": [80, 50, 80],
    }
    obs = pd.DataFrame({"target": np.repeat(list(means), 3)})
    counts = np.repeat(np.array(list(means.values()), dtype=np.float32), 3, axis=0)
    adata = ad.AnnData(counts, obs=obs.set_index(obs.index.astype(str)))
    return TrainingScreen(adata, ScreenKeys("target", "control", dose=None, features=None))


@pytest.fixture
def lines():
    """Drug A in two cell lines whose controls differ, drug B in the first only."""
    means = {
        ("control", "one"): [50, 50],
        ("control", "two"): [20, 80],
        ("A", "one"): [60, 40],
        ("A", "two"): [40, 60],
        ("B", "one"): [50, 50],
    }
    obs = pd.DataFrame(np.repeat(list(means), 2, axis=0), columns=["drug", "line"])
    counts = np.repeat(np.array(list(means.values()), dtype=np.float32), 2, axis=0)
    adata = ad.AnnData(counts, obs=obs.set_index(obs.index.astype(str)))
    keys = ScreenKeys("drug", "control", dose=None, features=None, context="line")
    return TrainingScreen(adata, keys)


def test_mean_of_treated_is_one_shift_for_all_and_a_combination_no_exception(tiny, conditions):
    predictor = fitted(_simple_baselines.MeanOfTreated, tiny)
    asked = conditions(("like A", 2.0), ("A+B", 10.0), ("vehicle", 0.0), ("A", 0.0))
    mean = tiny.shift.mean(axis=0)
    np.testing.assert_allclose(predictor.predict_shift(asked), [mean, mean, 0 * mean, 0 * mean])


def test_same_dose_mean_is_the_mean_at_the_nearest_dose(tiny, conditions):
    predictor = fitted(_simple_baselines.SameDoseMean, tiny)
    shift = predictor.predict_shift(conditions(("like A", 2.0), ("like A", 5.0)))
    np.testing.assert_allclose(shift[0], tiny.shift[[0, 2]].mean(axis=0))
    np.testing.assert_allclose(shift[1], tiny.shift[[1, 3]].mean(axis=0))


def test_context_mean_is_relative_to_the_control_of_the_context(lines):
    predictor = fitted(_simple_baselines.ContextMean, lines)
    asked = pd.DataFrame({"drug": ["B", "B"], "line": ["one", "two"]})
    shift = predictor.predict_shift(asked)
    np.testing.assert_allclose(shift[0], lines.shift[[0, 2]].mean(axis=0))
    np.testing.assert_allclose(shift[1], np.log1p([4000, 6000]) - np.log1p([2000, 8000]), rtol=1e-4)


def test_cells_are_drawn_from_the_controls_of_the_context(lines):
    predictor = fitted(_simple_baselines.NoEffect, lines)
    asked = pd.DataFrame({"drug": ["B", "B"], "line": ["one", "two"]})
    cells = predictor.predict_cells(asked, 4, seed=0)
    np.testing.assert_allclose(cells[1], np.tile(np.log1p([2000, 8000]), (4, 1)), rtol=1e-5)


def test_context_without_treated_or_control_cells_is_named(lines):
    predictor = fitted(_simple_baselines.ContextMean, lines)
    asked = pd.DataFrame({"drug": ["A"], "line": ["three"]})
    assert predictor.why_not(asked) == ["no treated training cells in 'three'"]
    message = "No control cell of `adata` has 'three' in `adata.obs\\['line'\\]`"
    with pytest.raises(ValueError, match=message):
        predictor.predict_cells(asked, 2, seed=0)


def test_additive_sums_what_was_measured_alone(pairs):
    predictor = fitted(_simple_baselines.AdditiveShifts, pairs)
    asked = pd.DataFrame({"target": ["B+A", "A+C", "A"]})
    assert predictor.why_not(asked) == ["", "'C' was not measured alone", "not a combination"]
    shift = predictor.predict_shift(asked)
    np.testing.assert_allclose(shift[0], pairs.shift[0] + pairs.shift[2])
    assert np.isnan(shift[1:]).all()


def test_dose_is_interpolated_on_its_logarithm_and_held_outside(tiny, conditions):
    predictor = fitted(_simple_baselines.DoseInterpolation, tiny)
    asked = conditions(("A", np.sqrt(10.0)), ("A", 0.1), ("A", 100.0), ("A", 10.0), ("like A", 1.0))
    assert predictor.why_not(asked) == [""] * 4 + ["not measured at another dose"]
    low, high = tiny.shift[:2]
    expected = [(low + high) / 2, low, high, high]
    np.testing.assert_allclose(predictor.predict_shift(asked)[:4], expected, atol=1e-12)


@pytest.mark.parametrize("name", ["SameDoseMean", "DoseInterpolation"])
def test_without_doses_there_is_nothing_to_interpolate(pairs, name):
    predictor = fitted(getattr(_simple_baselines, name), pairs)
    assert predictor.why_not(pd.DataFrame({"target": ["A"]})) == ["the screen has no doses"]


def test_without_contexts_there_is_no_context_mean(pairs):
    predictor = fitted(_simple_baselines.ContextMean, pairs)
    assert predictor.why_not(pd.DataFrame({"target": ["A"]})) == ["the screen has no contexts"]


def test_other_contexts_of_the_same_perturbation_are_averaged(lines):
    predictor = fitted(_simple_baselines.OtherContexts, lines)
    asked = pd.DataFrame({"drug": ["A", "A", "B"], "line": ["one", "three", "one"]})
    assert predictor.why_not(asked) == ["", "", "not measured in another context"]
    shift = predictor.predict_shift(asked)
    np.testing.assert_allclose(shift[0], lines.shift[1])
    np.testing.assert_allclose(shift[1], lines.shift[:2].mean(axis=0))


@pytest.fixture
def classes():
    return pd.Series({"A": "kinase", "like A": "kinase", "B": "other", "C": "kinase", 7: "other"})


def test_class_mean_is_that_of_the_others_of_the_class_at_the_nearest_dose(
    tiny, conditions, classes
):
    predictor = fitted(lambda: _simple_baselines.SameClassMean(classes), tiny)
    asked = conditions(("like A", 2.0), ("C", 30.0), ("7", 1.0), ("vehicle", 0.0))
    assert predictor.why_not(asked) == [""] * 4
    expected = [tiny.shift[0], tiny.shift[1], tiny.shift[2], np.zeros(2)]
    np.testing.assert_allclose(predictor.predict_shift(asked), expected)


def test_a_perturbation_is_not_in_its_own_class_mean(tiny, conditions, classes):
    predictor = fitted(lambda: _simple_baselines.SameClassMean(classes), tiny)
    reasons = predictor.why_not(conditions(("A", 2.0), ("unknown", 1.0), ("C", 1.0)))
    assert reasons == [
        "no other perturbation of the class of 'A' in training",
        "no other perturbation of the class of 'unknown' in training",
        "",
    ]


def test_without_classes_there_is_no_class_mean(tiny, conditions):
    predictor = fitted(_simple_baselines.SameClassMean, tiny)
    assert predictor.why_not(conditions(("A", 1.0))) == ["no classes of perturbations were given"]
