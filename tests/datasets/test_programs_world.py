import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scgim.datasets import ProgramsWorld, simulate_screen

SMALL = {"n_genes": 40, "n_control": 30, "n_cells": 3}


@pytest.fixture(scope="module")
def world():
    return ProgramsWorld(1, **SMALL)


@pytest.fixture(scope="module")
def screen(world):
    return world.screen()


def conditions(*rows):
    return pd.DataFrame(rows, columns=["drug", "dose"])


def mean_nodes(world, drug, dose):
    shift, cut = world.simulator.interventions(conditions((drug, dose)))
    n_cells = 20_000
    nodes = world._cell.sample_nodes(
        np.random.default_rng(0), np.repeat(shift, n_cells, 0), np.repeat(cut, n_cells, 0)
    )
    return nodes.mean(axis=0)


def test_default_screen_has_the_documented_size():
    world = ProgramsWorld()
    assert len(world.training_conditions) == 32 * 4 - 12
    assert 2000 + 50 * len(world.training_conditions) == 7800
    assert world.drug_features.shape == (44, 13)


def test_screen_holds_sparse_float_counts(screen):
    assert sp.isspmatrix_csr(screen.X)
    assert screen.X.dtype == np.float32
    np.testing.assert_array_equal(screen.X.data, np.round(screen.X.data))


def test_screen_knows_the_true_nodes_of_its_cells(world, screen):
    assert screen.obsm["true_nodes"].shape == (screen.n_obs, 10)
    cells = world.sample(conditions(("drug_05", 1e9), ("vehicle", 0.0)), 4000, seed=0)
    means = cells.obsm["true_nodes"].reshape(2, 4000, 10).mean(axis=1)
    expected = mean_nodes(world, "drug_05", 1e9) - mean_nodes(world, "vehicle", 0.0)
    np.testing.assert_allclose(means[0] - means[1], expected, atol=0.15)


def test_control_cells_have_dose_zero_and_no_feature_row(screen):
    is_control = screen.obs["drug"] == "vehicle"
    assert is_control.sum() == 30
    assert (screen.obs.loc[is_control, "dose"] == 0).all()
    assert (screen.obs.loc[~is_control, "dose"] > 0).all()
    assert "vehicle" not in screen.uns["drug_features"].index


def test_held_out_conditions_are_not_in_the_screen(screen):
    seen = set(zip(screen.obs["drug"], screen.obs["dose"], strict=True))
    held_out = screen.uns["held_out"]
    assert not seen & set(zip(held_out["drug"], held_out["dose"], strict=True))
    assert held_out["split"].value_counts().to_dict() == {
        "unseen_drug": 32,
        "unseen_sum": 16,
        "interior_dose": 8,
        "top_dose": 4,
    }


def test_held_out_doses_are_interior_or_top_and_their_drugs_are_seen(screen):
    held_out = screen.uns["held_out"].groupby("split")
    doses = np.sort(screen.obs["dose"].unique())
    interior, top = held_out.get_group("interior_dose"), held_out.get_group("top_dose")
    assert set(interior["dose"]) <= set(doses[2:-1])
    assert set(top["dose"]) == {doses[-1]}
    assert set(interior["drug"]) | set(top["drug"]) <= set(screen.obs["drug"])


def test_same_seed_gives_the_same_screen_and_another_seed_another(screen):
    again = ProgramsWorld(1, **SMALL).screen()
    np.testing.assert_array_equal(again.X.toarray(), screen.X.toarray())
    other = ProgramsWorld(2, **SMALL).screen()
    assert (other.uns["truth"]["adjacency"] != screen.uns["truth"]["adjacency"]).any()


def test_fresh_cells_depend_on_their_seed_only(world):
    rows = conditions(("drug_00", 1.0))
    first, again = (world.sample(rows, 5, seed=3).X.toarray() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (world.sample(rows, 5, seed=4).X.toarray() != first).any()


def test_screen_survives_writing_to_disk(screen, tmp_path):
    screen.write_h5ad(tmp_path / "screen.h5ad")
    read = ad.read_h5ad(tmp_path / "screen.h5ad")
    pd.testing.assert_frame_equal(
        read.uns["held_out"], screen.uns["held_out"], check_dtype=False, check_categorical=False
    )
    pd.testing.assert_frame_equal(
        read.uns["truth"]["targets"], screen.uns["truth"]["targets"], check_index_type=False
    )
    np.testing.assert_array_equal(read.uns["truth"]["loadings"], screen.uns["truth"]["loadings"])


def test_each_class_has_its_own_first_target_and_sums_have_both(world):
    truth = world.truth
    targets, classes = truth["targets"], truth["mechanism_class"]["mechanism_class"]
    by_class = targets.groupby(classes).nunique()
    assert (by_class == 1).all(axis=None)
    for drug in classes.index[classes.str.contains("+", regex=False)]:
        first, second = (targets[classes == name].iloc[0] for name in classes[drug].split("+"))
        np.testing.assert_array_equal(targets.loc[drug] & ~(first | second), False)
        assert targets.loc[drug].sum() >= 1


def test_shift_sizes_are_the_documented_ones(world):
    shifts = world.truth["shifts"].to_numpy()[:40]
    sizes = np.abs(shifts[shifts != 0])
    assert sizes.min() >= 2.5 * 0.85
    assert sizes.max() <= 2.5 * 1.15


def test_half_of_the_shift_is_reached_at_the_ec50(world):
    truth = world.truth
    dose = 10 ** truth["log10_ec50"].loc["drug_03", "log10_ec50"]
    shift, _ = world.simulator.interventions(conditions(("drug_03", dose)))
    np.testing.assert_allclose(shift[0], truth["shifts"].loc["drug_03"] / 2)


def test_dose_zero_is_the_control(world):
    shift, cut = world.simulator.interventions(conditions(("drug_03", 0.0), ("vehicle", 0.0)))
    np.testing.assert_array_equal(shift, 0)
    np.testing.assert_array_equal(cut, 0)


def test_shifts_of_a_declared_combination_add_in_any_order(world):
    shift, _ = world.simulator.interventions(
        conditions(
            ("drug_00+drug_01", 2.0), ("drug_01+drug_00", 2.0), ("drug_00", 2.0), ("drug_01", 2.0)
        )
    )
    np.testing.assert_allclose(shift[0], shift[2] + shift[3])
    np.testing.assert_allclose(shift[1], shift[0])


def test_total_effect_is_the_shift_through_the_graph(world):
    truth = world.truth
    total = np.linalg.solve(np.eye(10) - truth["adjacency"].T, truth["shifts"].loc["drug_05"])
    moved = mean_nodes(world, "drug_05", 1e9) - mean_nodes(world, "vehicle", 0.0)
    np.testing.assert_allclose(moved, total, atol=1e-6)


def test_hard_scenario_cuts_only_the_targets_by_the_share_of_the_dose():
    world = ProgramsWorld(1, scenario="hard", **SMALL)
    dose = 10 ** world.truth["log10_ec50"].loc["drug_03", "log10_ec50"]
    _, cut = world.simulator.interventions(conditions(("drug_03", dose)))
    np.testing.assert_allclose(cut[0], world.truth["targets"].loc["drug_03"] * 0.5)


def test_linear_scenario_cuts_nothing(world):
    _, cut = world.simulator.interventions(conditions(("drug_03", 1e9)))
    np.testing.assert_array_equal(cut, 0)


def test_scenarios_share_graph_drugs_and_features():
    linear, hard = (ProgramsWorld(1, scenario=name, **SMALL) for name in ("linear", "hard"))
    np.testing.assert_array_equal(linear.truth["adjacency"], hard.truth["adjacency"])
    pd.testing.assert_frame_equal(linear.drug_features, hard.drug_features)


def test_expected_shift_agrees_with_the_mean_of_sampled_cells(world):
    rows = conditions(("drug_00", 30.0), ("vehicle", 0.0), ("drug_09", 30.0))
    expected = world.expected_shift(rows, n_cells=3000)
    counts = world.sample(rows, 3000, seed=0).X.toarray()
    log_expression = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    means = log_expression.reshape(3, 3000, -1).mean(axis=1)
    np.testing.assert_allclose(expected, means - means[1], atol=0.15)
    assert np.abs(expected[1]).max() < 0.1
    assert np.abs(expected[0]).max() > 0.3


def test_sampling_in_blocks_gives_every_cell_its_condition(world, monkeypatch):
    rows = conditions(("drug_00", 30.0), ("vehicle", 0.0), ("drug_09", 30.0))
    whole = world.expected_shift(rows, n_cells=500)
    monkeypatch.setattr("scgim.datasets._simulated_drugs.CELLS_PER_BLOCK", 333)
    in_blocks = world.expected_shift(rows, n_cells=500)
    np.testing.assert_allclose(in_blocks, whole, atol=0.35)


def test_simulate_screen_is_the_screen_of_its_world(screen):
    adata = simulate_screen(1, **SMALL)
    np.testing.assert_array_equal(adata.X.toarray(), screen.X.toarray())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenario": "linaer"}, "`scenario='linaer'` is not a choice. .*'linear'"),
        ({"n_cells": 0}, "`n_cells=0` is too small: it must be at least 1."),
        ({"n_classes": 11, "n_nodes": 10}, "`n_classes=11` is larger than `n_nodes=10`"),
        ({"n_drugs": 4}, "`n_drugs=4` is smaller than `n_classes=8`"),
        ({"n_sums": 29}, "`n_sums=29` is larger than the 28 pairs of 8 mechanism classes"),
        ({"n_top": 25}, "hold out one dose of 33 drugs, but there are only `n_drugs=32`"),
        ({"log10_doses": (0.0, 1.0)}, "`n_interior=8` needs a dose between two others"),
    ],
)
def test_impossible_sizes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProgramsWorld(**arguments)


def test_unknown_drug_is_named_with_the_closest_ones(world):
    with pytest.raises(ValueError, match=r"`conditions` names \['drug_0'\], .* 'drug_0' are \["):
        world.sample(conditions(("drug_0", 1.0)), 2, seed=0)


def test_missing_column_of_conditions_is_named(world):
    with pytest.raises(ValueError, match=r"`conditions` lacks the columns \['dose'\]"):
        world.sample(pd.DataFrame({"drug": ["drug_00"]}), 2, seed=0)
