import numpy as np
import pytest

from scgim.benchmark._genes_predictors import GenesScreen
from scgim.datasets import GenesWorld


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
