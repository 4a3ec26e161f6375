import numpy as np
import pandas as pd
import pytest
import scvi

from scgim.benchmark._genes_predictors import (
    GenesScreen,
    GradientGraph,
    true_edges,
    true_targets,
)
from scgim.benchmark._trained_genes import TrainedGenes
from scgim.datasets import GenesWorld
from scgim.model import GIM, GraphSearch
from scgim.scm import GradientSettings, SearchSettings

CONTROL = pd.DataFrame({"drug": ["vehicle"], "dose": [0.0]})


@pytest.fixture(scope="module")
def world():
    return GenesWorld(0, n_nodes=6, n_drugs=16, n_unseen=3, n_control=200, n_cells=20)


@pytest.fixture(scope="module")
def screen(world):
    return GenesScreen.from_anndata(world.screen())


@pytest.fixture(scope="module")
def searched(world, screen):
    predictor = TrainedGenes(world, SearchSettings(n_restarts=2))
    predictor.fit(screen)
    return predictor


@pytest.fixture(scope="module")
def oracle(world, screen):
    predictor = TrainedGenes(world, SearchSettings(n_restarts=1), is_oracle=True)
    predictor.fit(screen)
    return predictor


def test_search_is_what_a_user_of_the_model_gets(world, searched):
    """Means, cells, targets and graph come from the public methods of a model trained by hand."""
    adata = world.screen()
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose", features_key="drug_features")
    model = GIM(adata, causal_space="genes", gene_likelihood="normal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scvi.settings, "seed", 0)
        model.train(search=GraphSearch(n_restarts=2), enable_progress_bar=False)
    pd.testing.assert_frame_equal(model.get_causal_graph(), searched.model.get_causal_graph())
    for _, conditions in world.held_out.groupby("split"):
        asked = conditions[["drug", "dose"]]
        shift = searched.predict_mean(conditions) - searched.predict_mean(CONTROL)
        np.testing.assert_allclose(shift, model.predict_shift(asked).X, atol=1e-5)
        evidence = model.get_intervention_targets(asked["drug"].unique().tolist())["evidence"]
        called = searched.predict_targets(conditions.drop_duplicates("drug"))
        np.testing.assert_array_equal(called.ravel(), evidence)


def test_oracle_knows_graph_and_targets_of_unseen_drugs(world, oracle):
    graph = oracle.model.get_causal_graph().to_numpy()
    np.testing.assert_array_equal(graph != 0, true_edges(world))
    unseen = world.held_out.query("split == 'unseen_drug'")
    density = oracle.log_densities(unseen, world.sample(unseen, 1, seed=0).X[:, None])
    np.testing.assert_array_equal(density.probability > 0.5, true_targets(world, unseen["drug"]))
    seen = oracle.model.get_intervention_targets()
    names = seen["perturbation"].unique()
    np.testing.assert_array_equal(
        seen["is_target"].to_numpy().reshape(len(names), -1), true_targets(world, names)
    )


def test_densities_add_up_to_one_with_and_without_a_target(world, searched):
    """Integrated over one node on a fine grid, the others held where they are."""
    condition = world.held_out.query("split == 'new_dose'").iloc[:1]
    grid = np.linspace(-15, 15, 6001)
    cells = np.zeros((1, len(grid), 6))
    for node in range(6):
        moved = cells.copy()
        moved[0, :, node] = grid
        density = searched.log_densities(condition, moved)
        for values in (density.without, density.targeted):
            total = np.trapezoid(np.exp(values[:, node]), grid)
            assert total == pytest.approx(1.0, abs=1e-3)


def test_cells_of_every_causal_predictor_have_the_predicted_mean(world, screen, searched, oracle):
    gradient = GradientGraph(GradientSettings(n_steps=20))
    gradient.fit(screen)
    for split, among in (("new_dose", (searched, oracle, gradient)), ("unseen_drug", (oracle,))):
        conditions = world.held_out[world.held_out["split"] == split].iloc[:3]
        for predictor in among:
            mean = predictor.predict_mean(conditions)
            cells = predictor.sample(conditions, 4000)
            assert cells.shape == (3, 4000, 6)
            np.testing.assert_allclose(cells.mean(axis=1), mean, atol=0.15)
