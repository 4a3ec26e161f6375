import numpy as np
import torch

from scgim.spaces._population import Population
from scgim.spaces._rate_scale import RateScale


def scale_of(model):
    population = Population(model.module, model.fitted.statistics, n_cells=64)
    return population, RateScale.of_population(population, is_count=True)


def test_a_fold_comes_back_from_the_shift_that_it_makes(model):
    population, scale = scale_of(model)
    for fold in (-1.3, 0.0, 0.7):
        shift = population.rate_curves(torch.tensor([fold])).double().numpy()
        np.testing.assert_allclose(scale.to_log_fold(shift), fold, atol=0.02)


def test_the_scale_rises_and_stays_within_its_ends(model):
    _, scale = scale_of(model)
    shifts = np.linspace(-50, 50, 41)[:, None] * np.ones(scale.shift.shape[1])
    folds = scale.to_log_fold(shifts)
    assert (np.diff(folds, axis=0) >= 0).all()
    assert (np.abs(folds) <= 6.0).all()
    assert (folds[0] < -5).all()
    assert (folds[-1] > 5).all()


def test_transformed_expression_is_its_own_scale(model):
    population, _ = scale_of(model)
    scale = RateScale.of_population(population, is_count=False)
    shift = np.random.default_rng(0).normal(size=(2, 24))
    np.testing.assert_array_equal(scale.to_log_fold(shift), shift)
