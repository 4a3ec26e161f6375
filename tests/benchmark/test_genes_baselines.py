import numpy as np
import pytest

from scgim.benchmark._genes_baselines import ControlMean, NearestCondition, Network, RidgeWithDose
from scgim.benchmark._genes_predictors import GenesScreen
from scgim.datasets import GenesWorld


@pytest.fixture(scope="module")
def world():
    return GenesWorld(0, n_nodes=6, n_drugs=16, n_unseen=3, n_control=200, n_cells=20)


@pytest.fixture(scope="module")
def screen(world):
    return GenesScreen.from_anndata(world.screen())


def test_nearest_drug_of_a_seen_condition_is_itself(world, screen):
    predictor = NearestCondition()
    predictor.fit(screen)
    conditions = world.training_conditions
    adata = world.screen()
    cells = (adata.obs["drug"] == "drug_03") & (adata.obs["dose"] == 1.5)
    row = np.flatnonzero((conditions["drug"] == "drug_03") & (conditions["dose"] == 1.5))
    np.testing.assert_allclose(
        predictor.predict_mean(conditions)[row[0]], adata.X[cells].mean(axis=0), atol=1e-5
    )


def test_no_effect_predicts_the_control(world, screen):
    predictor = ControlMean()
    predictor.fit(screen)
    np.testing.assert_allclose(predictor.predict_mean(world.held_out), 0.0, atol=1e-6)


@pytest.mark.parametrize("predictor", [RidgeWithDose(), Network()])
def test_regressions_beat_no_effect_at_new_doses(world, screen, predictor):
    conditions = world.held_out.query("split == 'new_dose'")
    truth = world.expected_mean(conditions)
    predictor.fit(screen)
    error = np.linalg.norm(predictor.predict_mean(conditions) - truth, axis=1).mean()
    assert error < 0.7 * np.linalg.norm(truth, axis=1).mean()
    assert predictor.predict_targets(conditions) is None
