import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.benchmark._training_screen import TrainingScreen
from scgim.datasets import ProgramsWorld


@pytest.fixture(scope="session")
def world():
    return ProgramsWorld(0, n_genes=80, n_control=200, n_cells=10)


@pytest.fixture(scope="session")
def screen(world):
    return TrainingScreen(world.screen())


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
