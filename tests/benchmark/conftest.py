import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.benchmark._predictors import GIMPredictor
from scgim.benchmark._training_screen import TrainingScreen
from scgim.datasets import ProgramsWorld


@pytest.fixture(scope="session")
def world():
    return ProgramsWorld(0, n_genes=80, n_control=200, n_cells=10)


@pytest.fixture(scope="session")
def screen(world):
    return TrainingScreen(world.screen())


@pytest.fixture(scope="session")
def small_world():
    """Four nodes, so that the basis of the nodes is found in seconds."""
    return ProgramsWorld(
        1,
        n_nodes=4,
        n_genes=60,
        n_control=200,
        n_cells=10,
        n_classes=4,
        n_drugs=12,
        n_unseen=4,
        n_sums=2,
        n_interior=3,
        n_top=2,
    )


@pytest.fixture(scope="session")
def small_screen(small_world):
    return TrainingScreen(small_world.screen())


@pytest.fixture(scope="session")
def gim(small_screen):
    predictor = GIMPredictor(n_nodes=4, train_kwargs={"max_epochs": 30})
    predictor.fit(small_screen)
    return predictor


@pytest.fixture
def top_of(small_world):
    return small_world.held_out.query("split == 'top_dose'")[["drug", "dose"]]


@pytest.fixture
def conditions():
    def make(*rows):
        return pd.DataFrame(rows, columns=["drug", "dose"])

    return make


@pytest.fixture
def tiny():
    """Two genes; drug A moves the first up with the dose, B the second; two cells per condition."""
    design = [("vehicle", 0.0)] * 4 + [
        (drug, dose) for drug in ("A", "B") for dose in (1.0, 10.0) for _ in range(2)
    ]
    obs = pd.DataFrame(design, columns=["drug", "dose"])
    obs.index = obs.index.astype(str)
    counts = np.array(
        [[50, 50]] * 4 + [[60, 40]] * 2 + [[80, 20]] * 2 + [[40, 60]] * 2 + [[10, 90]] * 2,
        dtype=np.float32,
    )
    adata = ad.AnnData(counts, obs=obs)
    adata.uns["drug_features"] = pd.DataFrame({"kind": [0.0, 1.0, 0.1]}, index=["A", "B", "like A"])
    return TrainingScreen(adata)


@pytest.fixture(scope="module")
def knock_outs():
    """Knock-outs of the first three of six genes, whose counts fall to a third."""
    rng = np.random.default_rng(0)
    label = np.repeat(["control", "gene_0", "gene_1", "gene_2"], [400, 80, 80, 80])
    rate = np.tile(np.array([4.0, 5.0, 6.0, 2.0, 3.0, 0.0]), (640, 1))
    for gene in range(3):
        rate[label == f"gene_{gene}", gene] /= 3
    genes = [f"gene_{gene}" for gene in range(6)]
    adata = ad.AnnData(
        rng.poisson(rate).astype(np.float32),
        obs=pd.DataFrame(
            {"perturbation": label, "is_control": label == "control"},
            index=[f"cell_{cell}" for cell in range(640)],
        ),
        var=pd.DataFrame(index=genes),
    )
    adata.uns["known_targets"] = pd.DataFrame({"perturbation": genes[:3], "target": genes[:3]})
    return adata
