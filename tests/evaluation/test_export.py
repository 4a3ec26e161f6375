import numpy as np
import pandas as pd
import pytest

from scgim.evaluation import RidgeOnFeatures, ScoringSettings, split, to_cell_eval, to_pertpy

SETTINGS = ScoringSettings(n_cells=7)


@pytest.fixture(scope="module")
def adata(small_world):
    return small_world.screen()


@pytest.fixture(scope="module")
def chosen(adata):
    return split(adata, "perturbation", fraction=0.4)


@pytest.fixture(scope="module")
def pair(adata, chosen):
    return to_cell_eval(RidgeOnFeatures(), adata, chosen, settings=SETTINGS)


def test_the_pair_is_what_cell_eval_asks_for(pair, adata):
    """Same genes in the same order, the same labels on both sides, the control among them."""
    predicted, real = pair
    assert list(predicted.var_names) == list(real.var_names) == list(adata.var_names)
    labels = [set(side.obs["perturbation"]) for side in pair]
    assert labels[0] == labels[1]
    assert "control" in labels[0]
    assert predicted.X.dtype == np.float32


def test_each_side_has_control_cells_of_its_own(pair, adata):
    sides = [side[(side.obs["perturbation"] == "control").to_numpy()].X for side in pair]
    n_control = int((adata.obs["drug"] == "vehicle").sum())
    assert len(sides[0]) + len(sides[1]) == n_control
    joined = np.unique(np.vstack(sides).round(4), axis=0)
    assert len(joined) == n_control


def test_conditions_are_named_with_their_dose(pair, chosen):
    counts = pair.adata_pred.obs["perturbation"].value_counts().drop("control")
    assert (counts == 7).all()
    assert len(counts) == len(chosen.held_out)
    assert all(", " in label for label in counts.index)


def test_pertpy_finds_its_columns_and_components(adata, chosen):
    joined = to_pertpy(RidgeOnFeatures(), adata, chosen, settings=SETTINGS)
    assert {"perturbation", "dose_value", "context", "source", "condition"} <= set(joined.obs)
    assert set(joined.obs["source"]) == {"predicted", "observed", "control"}
    assert joined.obsm["X_pca"].shape == (joined.n_obs, 20)
    control = joined.obs[joined.obs["perturbation"] == "control"]
    assert set(control["condition"]) == {"control"}
    means = pd.DataFrame(joined.obsm["X_pca"]).groupby(joined.obs["condition"].to_numpy()).mean()
    assert len(means) == 2 * len(chosen.held_out) + 1
    assert joined.obs_names.is_unique
