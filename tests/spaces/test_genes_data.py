import numpy as np
import pytest

from scgim.model import GIM
from scgim.spaces._genes_data import GenesData

PROFILES_SETUP = {"perturbation_key": "knock_out", "control": "wild type"}


def _collect(adata, setup, **options):
    GIM.setup_anndata(adata, **setup)
    model = GIM(adata, causal_space="genes", **options)
    loader = model._make_data_loader(adata=adata, batch_size=64)
    return GenesData.collect(model.module, model.screen, loader)


@pytest.fixture(scope="module")
def counts(gene_counts, counts_setup):
    return _collect(gene_counts.copy(), {"perturbation_key": "drug"} | counts_setup)


@pytest.fixture(scope="module")
def combinations(make):
    setup = {"perturbation_key": "drug", "control": "vehicle", "dose_key": "dose"}
    return _collect(make(0), setup, gene_likelihood="normal")


def test_nodes_are_standardised_by_the_control_and_free_of_covariates(counts):
    control = counts.values[counts.is_control]
    np.testing.assert_allclose(control.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(control.std(0), 1, atol=1e-6)
    batch = counts.covariates[counts.is_control, 1] > 0
    np.testing.assert_allclose(control[batch].mean(0), control[~batch].mean(0), atol=1e-6)
    assert np.diff(counts.covariate_effects, axis=0)[0, 3] > 0.3


def test_groups_are_perturbations_and_conditions_have_doses(combinations):
    assert combinations.groups[:2] == [("drug_a",), ("drug_b",)]
    assert combinations.groups[-1] == ("drug_a", "drug_b")
    assert combinations.n_single == 5
    doses = combinations.log10_dose[combinations.group == 0]
    np.testing.assert_allclose(np.sort(doses), [-1, 0, 1, 2], atol=1e-6)
    assert (combinations.group < 0).sum() == 1


def test_cells_without_doses_are_at_saturation(counts):
    assert np.isposinf(counts.log10_dose[counts.group >= 0]).all()


def test_the_screen_of_single_perturbations_leaves_combinations_out(combinations):
    screen = combinations.single_screen(None)
    assert screen.n_perturbations == 5
    assert len(screen.values) == len(combinations.values) - 10
    np.testing.assert_allclose(
        screen.condition_means(screen.values)[screen.perturbation == 0],
        combinations.screen().condition_means(combinations.values)[combinations.group == 0],
    )


def test_deviations_within_conditions_have_no_mean(counts):
    means = counts.screen().condition_means(counts.within)
    np.testing.assert_allclose(means, 0, atol=1e-9)


def test_counts_reach_the_estimates_unchanged(counts, gene_counts):
    screen = counts.count_screen(1000.0)
    np.testing.assert_array_equal(screen.counts, gene_counts.X.toarray())
    # Size factors may have any scale; the model gives them the mean of the totals.
    size = gene_counts.obs["size"]
    scale = gene_counts.X.sum(1).mean() / size.mean()
    np.testing.assert_allclose(screen.size_factor, scale * size / 1000, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*fewer than 3 cells", "ignore:.*a single cell")
def test_profiles_are_standardised_by_their_robust_spread(profiles):
    data = _collect(profiles, PROFILES_SETUP, gene_likelihood="normal")
    assert not data.has_replicates
    values = np.asarray(profiles.X)
    np.testing.assert_allclose(data.center, values[0], rtol=1e-6)
    away = np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    np.testing.assert_allclose(data.scale, 1.4826 * away, rtol=1e-6)
    np.testing.assert_allclose(data.within.mean(axis=0), 0, atol=1e-9)


def test_a_screen_of_cells_has_replicates(counts):
    assert counts.has_replicates
