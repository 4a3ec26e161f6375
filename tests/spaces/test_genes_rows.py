import numpy as np
import pytest
import torch

from scgim.spaces._genes_rows import left_out_interventions, left_out_rows

SATURATED = np.array([np.inf, np.inf])


@pytest.fixture
def rows(genes_model):
    return genes_model.fitted.rows(["drug_01", "drug_17"], None)


def test_rows_of_seen_perturbations_are_certain_and_those_of_others_are_not(rows):
    assert rows.is_seen.tolist() == [True, False]
    assert set(rows.probability[0]) <= {0.0, 1.0}
    assert ((rows.probability[1] > 0) & (rows.probability[1] < 1)).all()


def test_dose_zero_is_the_control(rows):
    empty = rows.at(np.array([-np.inf, -np.inf]))
    assert not empty.shift.any()
    assert not empty.is_cut.any()
    assert (empty.noise_scale == 1).all()


def test_the_mean_intervention_weighs_targets_by_their_probability(rows):
    np.testing.assert_allclose(rows.at(SATURATED).shift, rows.probability * rows.size)


def test_draws_scatter_around_the_mean(rows):
    draws = rows.draw(SATURATED, 4000, np.random.default_rng(0)).shift
    assert draws.shape == (4000, *rows.size.shape)
    spread = draws.std(0).max()
    torch.testing.assert_close(draws.mean(0), rows.at(SATURATED).shift, atol=0.1 * spread, rtol=0)
    assert (draws[:, 0][:, rows.probability[0] == 0] == 0).all()


def test_hard_targets_are_cut_where_there_is_a_dose(mixed_model):
    rows = mixed_model.fitted.rows(["drug_01", "drug_00"], None)
    what = rows.at(np.zeros(2))
    assert (what.is_cut[0] == torch.as_tensor(rows.is_hard[0]).double()).all()
    assert what.is_cut[0].any()
    assert not what.is_cut[1].any()
    is_cut = what.is_cut[0] == 1
    np.testing.assert_allclose(what.noise_scale[0, is_cut], rows.noise_scale[0, is_cut])


def test_leaving_a_perturbation_out_shrinks_it_to_the_others(genes_model):
    fitted = genes_model.fitted.interventions
    left_out = left_out_rows(fitted)
    assert left_out.shape == fitted.potency.rows.shape
    assert np.abs(left_out - fitted.potency.rows).max() > 0
    assert left_out[:, 1].std() <= fitted.potency.rows[:, 1].std()


def test_far_features_are_far(genes_model):
    known = genes_model.screen.table.features
    far = known.iloc[[0]].set_axis(["far"]) + 100.0
    rows = genes_model.fitted.rows(["far"], far)
    assert rows.distance[0] > 5


def test_left_out_perturbations_are_predicted_like_unseen_ones(genes_model):
    fitted = genes_model.fitted.interventions
    rows = left_out_interventions(fitted)
    assert not rows.is_seen.any()
    is_target = fitted.structure.is_target
    assert rows.probability[is_target].mean() > rows.probability[~is_target].mean() + 0.2


def test_strong_potencies_go_with_their_size(rows):
    draws = rows.draw_log10_ec50(2000, np.random.default_rng(0))
    expected = np.sqrt(rows.potency_covariance[:, 0, 0])
    np.testing.assert_allclose(draws.std(0), expected, rtol=0.1)
    assert (rows.size_slope[0][rows.probability[0] == 1, 0] != 0).all()
