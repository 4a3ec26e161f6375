import numpy as np
import pytest
import torch

from scgim.scm.generator._sparse_interventions import left_out_effects, of_left_out_perturbations

SATURATED = np.array([np.inf, np.inf])


@pytest.fixture
def sparse(genes_model):
    return genes_model.fitted.interventions_of(["drug_01", "drug_17"], None)


def test_seen_perturbations_are_certain_and_those_of_others_are_not(sparse):
    assert sparse.is_seen.tolist() == [True, False]
    assert set(sparse.probability[0]) <= {0.0, 1.0}
    assert ((sparse.probability[1] > 0) & (sparse.probability[1] < 1)).all()


def test_dose_zero_is_the_control(sparse):
    empty = sparse.mean(np.array([-np.inf, -np.inf]))
    assert not empty.shift.any()
    assert not empty.is_cut.any()
    assert (empty.noise_scale == 1).all()


def test_the_mean_intervention_weighs_targets_by_their_probability(sparse):
    np.testing.assert_allclose(sparse.mean(SATURATED).shift, sparse.probability * sparse.size)


def test_draws_scatter_around_the_mean(sparse):
    draws = sparse.sample(SATURATED, 4000, np.random.default_rng(0)).shift
    assert draws.shape == (4000, *sparse.size.shape)
    spread = draws.std(0).max()
    torch.testing.assert_close(
        draws.mean(0), sparse.mean(SATURATED).shift, atol=0.1 * spread, rtol=0
    )
    assert (draws[:, 0][:, sparse.probability[0] == 0] == 0).all()


def test_hard_targets_are_cut_where_there_is_a_dose(mixed_model):
    sparse = mixed_model.fitted.interventions_of(["drug_01", "drug_00"], None)
    what = sparse.mean(np.zeros(2))
    assert (what.is_cut[0] == torch.as_tensor(sparse.is_hard[0]).double()).all()
    assert what.is_cut[0].any()
    assert not what.is_cut[1].any()
    is_cut = what.is_cut[0] == 1
    np.testing.assert_allclose(what.noise_scale[0, is_cut], sparse.noise_scale[0, is_cut])


def test_leaving_a_perturbation_out_shrinks_it_to_the_others(genes_model):
    fitted = genes_model.fitted.interventions
    left_out = left_out_effects(fitted)
    assert left_out.shape == fitted.efficacy.rows.shape
    assert np.abs(left_out - fitted.efficacy.rows).max() > 0
    assert left_out[:, 1].std() <= fitted.efficacy.rows[:, 1].std()


def test_far_features_are_far(genes_model):
    known = genes_model.screen.table.features
    far = known.iloc[[0]].set_axis(["far"]) + 100.0
    sparse = genes_model.fitted.interventions_of(["far"], far)
    assert sparse.distance[0] > 5


def test_left_out_perturbations_are_predicted_like_unseen_ones(genes_model):
    fitted = genes_model.fitted.interventions
    sparse = of_left_out_perturbations(fitted)
    assert not sparse.is_seen.any()
    is_target = fitted.structure.is_target
    assert sparse.probability[is_target].mean() > sparse.probability[~is_target].mean() + 0.2


def test_ec50_scatters_as_it_is_known_and_sizes_go_with_it(sparse):
    draws = sparse.sample_log10_ec50(2000, np.random.default_rng(0))
    expected = np.sqrt(sparse.dose_response_covariance[:, 0, 0])
    np.testing.assert_allclose(draws.std(0), expected, rtol=0.1)
    assert (sparse.size_slope[0][sparse.probability[0] == 1, 0] != 0).all()
