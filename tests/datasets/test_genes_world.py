import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.datasets import GenesWorld

SMALL = {"n_nodes": 6, "n_drugs": 8, "n_unseen": 3, "n_control": 60, "n_cells": 4}


def conditions(*rows):
    return pd.DataFrame(rows, columns=["drug", "dose"])


def test_default_world_has_the_documented_size():
    world = GenesWorld()
    assert len(world.training_conditions) == 160
    assert world.held_out["split"].value_counts().to_dict() == {"new_dose": 200, "unseen_drug": 80}
    assert world.drug_features.shape == (60, 30)
    assert world.screen().shape == (800 + 160 * 50, 20)


def test_same_seed_gives_the_same_cells_and_another_seed_does_not():
    one, same, other = (GenesWorld(seed, **SMALL).screen().X for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_control_cells_are_standardised_have_dose_zero_and_no_features():
    screen = GenesWorld(0, **SMALL).screen()
    is_control = (screen.obs["drug"] == "vehicle").to_numpy()
    control = screen.X[is_control]
    np.testing.assert_allclose(control.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(control.std(axis=0), 1.0, atol=1e-5)
    assert (screen.obs["dose"].to_numpy()[is_control] == 0).all()
    assert "vehicle" not in screen.uns["drug_features"].index


def test_features_are_standardised_by_the_training_drugs_only():
    features = GenesWorld(0, **SMALL).drug_features.to_numpy()
    np.testing.assert_allclose(features[:8].mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(features[:8].std(axis=0), 1.0, atol=1e-12)


def test_truth_of_a_linear_world_predicts_its_means():
    world = GenesWorld(3, **SMALL)
    truth = world.truth
    shift = truth["shifts"].loc["drug_01"].to_numpy()
    curve = 2.0 ** truth["hill"].loc["drug_01"].item()
    half = 10 ** (truth["log10_ec50"].loc["drug_01"].item() * truth["hill"].loc["drug_01"].item())
    expected = curve / (curve + half) * shift @ np.linalg.inv(np.eye(6) - truth["adjacency"])
    means = world.expected_mean(conditions(("drug_01", 2.0), ("vehicle", 0.0)), n_cells=40_000)
    np.testing.assert_allclose(means[0] - means[1], expected, atol=0.05)


def test_sign_belongs_to_the_node_or_to_the_drug():
    by_node = GenesWorld(0, sign="node").truth["shifts"].to_numpy()
    by_drug = GenesWorld(0, sign="drug").truth["shifts"].to_numpy()
    assert all(len(set(np.sign(column[column != 0]))) <= 1 for column in by_node.T)
    assert all(len(set(np.sign(row[row != 0]))) == 1 for row in by_drug)
    assert any(len(set(np.sign(column[column != 0]))) == 2 for column in by_drug.T)


def test_every_second_drug_of_a_mixed_world_is_hard():
    truth = GenesWorld(0, intervention="mixed", **SMALL).truth
    assert truth["is_hard"]["is_hard"].tolist() == [False, True] * 5 + [False]


def test_scale_interventions_keep_means_and_widen_targets():
    world = GenesWorld(1, intervention="scale", **SMALL)
    asked = conditions(("drug_01", 2.0), ("vehicle", 0.0))
    cells = np.asarray(world.sample(asked, 20_000, seed=0).X).reshape(2, 20_000, 6)
    np.testing.assert_allclose(cells[0].mean(0), cells[1].mean(0), atol=0.12)
    is_target = world.truth["targets"].loc["drug_01"].to_numpy()
    assert (cells[0].std(0) > 1.3 * cells[1].std(0))[is_target].all()


def test_dose_zero_is_the_control():
    world = GenesWorld(0, **SMALL)
    fresh = world.sample(conditions(("drug_00", 0.0)), 50, seed=1).X
    control = world.sample(conditions(("vehicle", 0.0)), 50, seed=1).X
    np.testing.assert_array_equal(fresh, control)


def test_screen_survives_h5ad(tmp_path):
    screen = GenesWorld(0, intervention="hard", mechanism="mlp", **SMALL).screen()
    screen.write_h5ad(tmp_path / "screen.h5ad")
    read = ad.read_h5ad(tmp_path / "screen.h5ad")
    np.testing.assert_array_equal(read.uns["truth"]["adjacency"], screen.uns["truth"]["adjacency"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"graph": "er3"}, r"`graph='er3'` is not a choice\. .*'er1'"),
        ({"mechanism": "cubic"}, r"`mechanism='cubic'` is not a choice"),
        ({"n_nodes": 2}, r"`n_nodes=2` is too small: it must be at least 3"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        GenesWorld(**arguments)


def test_unknown_drug_is_named():
    with pytest.raises(ValueError, match=r"`conditions` names \['drug_99'\]"):
        GenesWorld(0, **SMALL).sample(conditions(("drug_99", 1.0)), 2, seed=0)
