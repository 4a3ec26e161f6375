import numpy as np
import pandas as pd
import pytest

from scgim.benchmark import ClassOracle, StructureCeiling
from scgim.datasets import ChemistryWorld
from scgim.evaluation import ScreenKeys, TrainingScreen, split


def test_class_oracle_averages_its_class_at_the_nearest_dose(tiny):
    oracle = ClassOracle(pd.Series({"A": "x", "B": "y", "like A": "x", "new": "z"}))
    oracle.fit(tiny)
    conditions = pd.DataFrame({"drug": ["like A", "like A", "new"], "dose": [12.0, 1.0, 1.0]})
    shift = oracle.predict_shift(conditions)
    measured = tiny.conditions.reset_index(drop=True)
    rows = [
        measured.index[(measured["perturbation"] == "A") & (measured["dose"] == dose)][0]
        for dose in (10.0, 1.0)
    ]
    np.testing.assert_allclose(shift[:2], tiny.shift[rows])
    np.testing.assert_array_equal(shift[2], 0)


@pytest.fixture(scope="module")
def world(real_data):
    return ChemistryWorld(
        1, features="annotations", n_genes=50, n_control=300, n_cells=4, n_drugs=80
    )


def test_feature_ceiling_predicts_unseen_drugs_from_true_interventions(world):
    adata = world.screen()
    held_out = split(adata, "perturbation", seed=0, keys=ScreenKeys())
    screen = TrainingScreen(held_out.training(adata))
    ceiling = StructureCeiling(world)
    ceiling.fit(screen)
    top = held_out.held_out.query("dose == 10_000").reset_index(drop=True)
    shift, true = ceiling.predict_shift(top), world.expected_shift(top, n_cells=300)
    assert 1 - ((shift - true) ** 2).sum() / (true**2).sum() > 0.3
    cells = ceiling.predict_cells(top, 5, seed=3)
    assert cells.shape == (len(top), 5, 50)
    np.testing.assert_array_equal(cells, ceiling.predict_cells(top, 5, seed=3))
