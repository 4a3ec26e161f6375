import numpy as np
import pandas as pd
import pytest

from scgim.spaces._training_statistics import TrainingStatistics


@pytest.fixture(scope="module")
def statistics(model):
    return model.fitted.statistics


def _conditions(model, statistics):
    labels = np.array(model.screen.table.labels)[statistics.label]
    return pd.MultiIndex.from_arrays([labels, statistics.dose.round(3)])


def test_cells_of_each_condition_are_counted(model, statistics, screen):
    counted = pd.Series(statistics.n_cells, index=_conditions(model, statistics))
    expected = screen.obs.groupby(["drug", "dose"], observed=True).size()
    assert counted.sort_index().astype(int).tolist() == expected.sort_index().tolist()


def test_mean_expression_is_that_of_the_cells(model, statistics, screen):
    place = _conditions(model, statistics).get_loc(("drug_b", 10.0))
    mine = ((screen.obs.drug == "drug_b") & (screen.obs.dose == 10)).to_numpy()
    counts = screen.X[mine].toarray()
    normalised = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    np.testing.assert_allclose(statistics.expression_mean[place], normalised.mean(0), rtol=1e-4)
    np.testing.assert_allclose(
        statistics.expression_variance[place], normalised.var(0), rtol=1e-2, atol=1e-3
    )


def test_minibatches_do_not_change_the_statistics(model, statistics):
    loader = model._make_data_loader(adata=model.adata, batch_size=17)
    other = TrainingStatistics.collect(model.module, loader)
    order = [list(_conditions(model, other)).index(key) for key in _conditions(model, statistics)]
    np.testing.assert_array_equal(other.n_cells[order], statistics.n_cells)
    np.testing.assert_allclose(
        other.expression_mean[order], statistics.expression_mean, rtol=1e-4, atol=1e-5
    )
    assert sorted(other.control_library) == pytest.approx(sorted(statistics.control_library))


def test_control_cells_are_remembered_with_their_totals(statistics, screen):
    totals = np.asarray(screen.X[(screen.obs.drug == "vehicle").to_numpy()].sum(1)).ravel()
    np.testing.assert_allclose(np.sort(statistics.control_library), np.sort(totals))


def test_single_perturbations_are_measured_against_the_control(model, statistics):
    singles = statistics.single_perturbations(model.screen)
    assert len(singles.perturbation) == 5 * 4
    assert set(singles.perturbation) == set(range(5))
    assert np.isfinite(singles.log10_dose).all()
    control = statistics.is_control(model.screen)
    place = list(_conditions(model, statistics)).index(("drug_c", 1.0))
    row = np.flatnonzero((singles.perturbation == 2) & (singles.log10_dose == 0))[0]
    expected = statistics.residual[place] - statistics.residual[control][0]
    np.testing.assert_allclose(singles.residual[row], expected)


def test_statistics_come_back_from_plain_arrays(statistics):
    back = TrainingStatistics.from_dict(statistics.to_dict())
    assert set(statistics.to_dict()) == set(vars(back))
    np.testing.assert_array_equal(back.residual, statistics.residual)


def test_cells_without_a_dose_are_at_saturation(plain_model):
    statistics = plain_model.fitted.statistics
    singles = statistics.single_perturbations(plain_model.screen)
    assert np.isposinf(singles.log10_dose).all()


def test_covariates_of_control_cells_are_remembered(covariate_model):
    statistics = covariate_model.fitted.statistics
    assert statistics.control_categories.shape == (60, 1)
    assert statistics.control_continuous.shape == (60, 1)
    assert set(statistics.control_batch) == {0, 1}


def test_what_was_run_where_is_remembered(covariate_model, make):
    statistics = covariate_model.fitted.statistics
    screen, obs = covariate_model.screen, make(2).obs
    donors = screen.categorical_covariates["donor"]
    found = {
        (screen.table.labels[label], screen.batches[batch], donors[donor])
        for label, batch, donor in statistics.contexts
    }
    assert found == set(obs[["drug", "lane", "donor"]].itertuples(index=False, name=None))
    assert len(statistics.contexts) == len(found)
