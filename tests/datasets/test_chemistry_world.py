import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scgim.datasets import ChemistryWorld, ProgramsWorld

pytestmark = pytest.mark.usefixtures("real_data")
SMALL = {"n_genes": 40, "n_control": 30, "n_cells": 3, "n_drugs": 20}


@pytest.fixture(scope="module")
def world(real_data):
    return ChemistryWorld(3)


@pytest.fixture(scope="module")
def truth(world):
    return world.truth


@pytest.fixture
def small():
    return ChemistryWorld(1, **SMALL)


def test_default_screen_has_the_documented_size(world):
    assert len(world.drugs) == 188
    assert len(world.conditions) == 188 * 4
    assert world.n_control + world.n_cells * len(world.conditions) == 24_560
    assert len(world.truth["target_effects"]) == 78
    assert sorted(world.conditions["dose"].unique()) == [10, 100, 1000, 10_000]


def test_cell_is_that_of_world_p(world, truth):
    other = ProgramsWorld(3).truth
    np.testing.assert_array_equal(truth["adjacency"], other["adjacency"])
    np.testing.assert_array_equal(truth["loadings"], other["loadings"])


def test_targets_act_on_one_or_two_programs_or_on_none():
    effects = pd.concat([ChemistryWorld(seed).truth["target_effects"] for seed in range(20)])
    n_programs = (effects != 0).sum(axis=1)
    assert set(n_programs) == {0, 1, 2}
    assert (n_programs == 0).mean() == pytest.approx(0.15, abs=0.03)
    assert (n_programs == 2).sum() / (n_programs > 0).sum() == pytest.approx(0.4, abs=0.04)
    size = effects.abs().max(axis=1)
    assert (size[n_programs > 0] == 1).all()


def test_half_of_the_targets_act_as_their_pathway_does():
    shares = []
    for seed in range(10):
        world = ChemistryWorld(seed)
        effects = world.truth["target_effects"]
        # Angiogenesis inhibitors have many targets that no other pathway has.
        targets = [t for t in ("FLT3", "HIF", "Bcr-Abl", "Src", "c-Kit") if effects.loc[t].any()]
        first = effects.loc[targets].where(effects.abs() == 1, 0)
        shares.append((first.T.corr().to_numpy() > 0.99)[np.triu_indices(len(targets), 1)].mean())
    assert 0.1 < np.mean(shares) < 0.5


def test_shift_is_the_scaled_sum_of_the_effects_of_the_targets(world, truth):
    drug = world.drugs.index[world.drugs["target"] == "CSF-1R,PDGFR,VEGFR"][0]
    total = truth["target_effects"].loc[["CSF-1R", "PDGFR", "VEGFR"]].sum() / np.sqrt(3)
    shift = truth["shifts"].loc[drug]
    size = (shift / total).dropna()
    np.testing.assert_allclose(size, size.iloc[0])
    assert 2.5 * 0.85 <= size.iloc[0] <= 2.5 * 1.15
    np.testing.assert_array_equal(truth["targets"].loc[drug], shift != 0)


def test_potencies_stay_within_the_doses_and_are_no_feature(truth):
    potency = truth["log10_ec50"]["log10_ec50"]
    assert potency.between(1, 4).all()
    assert potency.std() == pytest.approx(0.6, abs=0.15)
    for features in ("structure", "annotations"):
        columns = ChemistryWorld(3, features=features).drug_features.columns
        assert not columns.str.contains("ec50|potency", case=False).any()


def test_drugs_of_unknown_target_have_one_of_their_own_that_features_do_not_tell(world):
    own = world.first_target[world.first_target.str.startswith("own:")]
    assert len(own) == 3
    assert own.is_unique
    columns = ChemistryWorld(3, features="annotations").drug_features.columns
    assert not columns.str.contains("own:|Others,").any()
    assert "target:Others" not in columns


def test_features_are_descriptors_fingerprints_and_annotations(world):
    structure = world.drug_features
    assert list(structure.index) == list(world.drugs.index)
    assert structure.columns.str.split(":").str[0].value_counts().to_dict() == {
        "morgan": 1024,
        "rdkit": 8,
    }
    annotated = ChemistryWorld(3, features="annotations").drug_features
    pd.testing.assert_frame_equal(annotated[structure.columns], structure)
    hdac = annotated["target:HDAC"]
    assert hdac.sum() == 27
    assert set(world.drugs["target"][hdac == 1].str.contains("HDAC")) == {True}


def test_screen_holds_counts_and_truth_that_a_file_can_keep(small, tmp_path):
    screen = small.screen()
    assert screen.shape == (30 + 20 * 4 * 3, 40)
    assert sp.isspmatrix_csr(screen.X)
    assert set(screen.obs.loc[screen.obs["drug"] == "vehicle", "dose"]) == {0.0}
    assert screen.obsm["true_nodes"].shape == (screen.n_obs, 10)
    assert set(screen.uns) == {"drug_features", "drugs", "truth"}
    screen.write_h5ad(tmp_path / "world.h5ad")


def test_fresh_cells_follow_the_truth(small):
    shifts = small.truth["shifts"]
    drug = shifts.abs().sum(axis=1).idxmax()
    node = shifts.loc[drug].abs().idxmax()
    conditions = pd.DataFrame({"drug": [drug, "vehicle"], "dose": [1e9, 0.0]})
    cells = small.sample(conditions, 3000, seed=0)
    means = cells.obsm["true_nodes"].reshape(2, 3000, 10).mean(axis=1)
    adjacency = small.truth["adjacency"]
    expected = shifts.loc[drug].to_numpy() @ np.linalg.inv(np.eye(10) - adjacency)
    np.testing.assert_allclose(means[0] - means[1], expected, atol=0.2)
    assert shifts.loc[drug, node] != 0
    shift = small.expected_shift(conditions, n_cells=200)
    assert np.abs(shift[0]).max() > 5 * np.abs(shift[1]).max()


def test_same_seed_gives_the_same_world_and_another_seed_another(small):
    again, other = ChemistryWorld(1, **SMALL), ChemistryWorld(2, **SMALL)
    np.testing.assert_array_equal(again.screen().X.toarray(), small.screen().X.toarray())
    assert list(again.drugs.index) == list(small.drugs.index)
    assert list(other.drugs.index) != list(small.drugs.index)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": "smiles"}, "`features='smiles'` is not a choice."),
        ({"n_cells": 0}, "`n_cells=0` is too small: it must be at least 1. Raise it."),
        ({"n_drugs": 189}, "`n_drugs=189` is too large: it must be at most 188. Lower it."),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ChemistryWorld(0, **arguments)
