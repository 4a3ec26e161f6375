from dataclasses import replace

import numpy as np
import pytest
from fixtures.models import fit, make_screen

from scgim.spaces._measured_shifts import measure_shifts


@pytest.fixture(scope="module")
def in_lanes():
    adata = make_screen(combination=True)
    return adata, fit(adata, setup={"batch_key": "lane"})


def expression(adata):
    counts = adata.X.toarray()
    return np.log1p(counts * 1e4 / counts.sum(1, keepdims=True))


def test_each_condition_is_compared_with_the_control_of_its_own_context(in_lanes):
    adata, model = in_lanes
    measured = measure_shifts(model.fitted.statistics, model.screen)
    row = 3
    drug = model.screen.table.perturbations[measured.perturbation[row]]
    lane = model.screen.batches[measured.contexts[measured.context[row]][0]]
    in_lane = (adata.obs.lane == lane).to_numpy()
    is_dose = np.isclose(adata.obs.dose, 10 ** measured.log10_dose[row])
    treated = in_lane & (adata.obs.drug == drug).to_numpy() & is_dose
    control = in_lane & (adata.obs.drug == "vehicle").to_numpy()
    values = expression(adata)
    expected = values[treated].mean(0) - values[control].mean(0)
    np.testing.assert_allclose(measured.shift[row], expected, atol=1e-4)


def test_combinations_and_control_are_no_rows(in_lanes):
    adata, model = in_lanes
    measured = measure_shifts(model.fitted.statistics, model.screen)
    single = adata.obs[~adata.obs.drug.isin(["vehicle", "drug_a+drug_b"])]
    assert len(measured.shift) == len(single.drop_duplicates(["drug", "dose", "lane"]))


def test_more_cells_are_less_noise(in_lanes):
    _, model = in_lanes
    statistics = model.fitted.statistics
    means = statistics.by_context
    more = replace(statistics, by_context=replace(means, n_cells=4 * means.n_cells))
    one, other = (measure_shifts(each, model.screen) for each in (statistics, more))
    # Variance between contexts is taken off by cells, too, so it is not exactly a quarter.
    assert (other.variance < 0.5 * one.variance).all()


def test_a_context_without_control_cells_is_left_out(in_lanes):
    _, model = in_lanes
    statistics = model.fitted.statistics
    means = statistics.by_context
    is_control = (model.screen.table.components[means.label] < 0).all(1)
    keep = ~(is_control & (means.context[:, 0] == 0))
    kept = {name: values[keep] for name, values in means.to_dict().items()}
    measured = measure_shifts(replace(statistics, by_context=replace(means, **kept)), model.screen)
    assert {int(c[0]) for c in measured.contexts[np.unique(measured.context)]} == {1}


def test_a_model_without_means_of_contexts_has_no_measured_shifts(in_lanes):
    _, model = in_lanes
    old = replace(model.fitted.statistics, by_context=None)
    assert measure_shifts(old, model.screen) is None


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_control_well_leaves_shifts_and_an_error_for_them():
    adata = make_screen(5, combination=False, n_control=1, n_cells=1)
    model = fit(adata, max_epochs=2)
    measured = measure_shifts(model.fitted.statistics, model.screen)
    assert np.isfinite(measured.shift).all()
    assert (measured.variance > 1e-6).any()
    assert np.isfinite(model.fitted.direct.log_fold).all()
    assert np.isfinite(model.predict_shift([("drug_a", 1.0), ("drug_x", 1.0)]).X).all()
