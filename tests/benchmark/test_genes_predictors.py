import numpy as np
import pytest

from scgim.benchmark._genes_predictors import (
    GenesScreen,
    GradientGraph,
    SearchedGraph,
    true_edges,
    true_targets,
)
from scgim.datasets import GenesWorld
from scgim.scm import GradientSettings, SearchSettings


@pytest.fixture(scope="module")
def world():
    return GenesWorld(0, n_nodes=6, n_drugs=16, n_unseen=3, n_control=200, n_cells=20)


@pytest.fixture(scope="module")
def screen(world):
    return GenesScreen.from_anndata(world.screen())


def test_conditions_of_the_screen_match_its_cells(world, screen):
    adata = world.screen()
    nodes = screen.nodes
    drug = np.array(["vehicle", *screen.drugs])[nodes.perturbation[nodes.condition] + 1]
    np.testing.assert_array_equal(drug, adata.obs["drug"].astype(str))
    dose = 10 ** nodes.log10_dose[nodes.condition]
    treated = nodes.perturbation[nodes.condition] >= 0
    np.testing.assert_allclose(dose[treated], adata.obs["dose"][treated])


def test_oracle_knows_graph_and_targets_of_unseen_drugs(world, screen):
    predictor = SearchedGraph(world, SearchSettings(n_restarts=1), is_oracle=True)
    predictor.fit(screen)
    np.testing.assert_array_equal(predictor.model.structure.adjacency, true_edges(world))
    unseen = world.held_out.query("split == 'unseen_drug'")
    _, what = predictor.predict_interventions(unseen)
    np.testing.assert_array_equal(
        what.probability.numpy() > 0.5, true_targets(world, unseen["drug"])
    )


def test_cells_of_every_causal_predictor_have_the_predicted_mean(world, screen):
    unseen = world.held_out.query("split == 'new_dose'").iloc[:3]
    for predictor in (
        SearchedGraph(world, SearchSettings(n_restarts=2)),
        GradientGraph(GradientSettings(n_steps=20)),
    ):
        predictor.fit(screen)
        mechanism, what = predictor.predict_interventions(unseen)
        assert what.shift.shape == (3, 6)
        assert mechanism.noise_sd.shape == (6,)
        assert predictor.predict_mean(unseen).shape == (3, 6)
