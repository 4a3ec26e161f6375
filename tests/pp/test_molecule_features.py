import numpy as np
import pandas as pd
import pytest

from scgim.pp import molecule_features

DRUGS = {"ethanol": "CCO", "benzene": "c1ccccc1", "glycine": "NCC(=O)O"}


def test_fingerprint_is_binary_with_one_named_column_per_bit():
    features = molecule_features(DRUGS, n_bits=64)
    assert list(features.index) == list(DRUGS)
    assert list(features.columns) == [f"morgan:{bit}" for bit in range(64)]
    assert set(np.unique(features)) == {0, 1}


def test_columns_do_not_depend_on_the_molecules():
    alone = molecule_features({"glycine": DRUGS["glycine"]})
    together = molecule_features(DRUGS)
    pd.testing.assert_frame_equal(alone, together.loc[["glycine"]])


def test_descriptors_have_their_known_values():
    features = molecule_features(DRUGS, kind="rdkit", descriptors=["MolWt", "RingCount", "TPSA"])
    assert list(features.columns) == ["rdkit:MolWt", "rdkit:RingCount", "rdkit:TPSA"]
    assert features.loc["ethanol", "rdkit:MolWt"] == pytest.approx(46.07, abs=0.01)
    assert features["rdkit:RingCount"].tolist() == [0, 1, 0]
    assert features.loc["glycine", "rdkit:TPSA"] == pytest.approx(63.32, abs=0.01)


def test_kinds_stand_side_by_side_as_blocks():
    features = molecule_features(DRUGS, kind=["rdkit", "morgan"], n_bits=16)
    blocks = [column.split(":")[0] for column in features.columns]
    assert blocks == ["rdkit"] * 8 + ["morgan"] * 16


def test_salt_and_spelling_change_nothing():
    with pytest.warns(UserWarning, match="'salt = base'") as caught:
        features = molecule_features({"base": "NCC(=O)O", "salt": "[Na+].NCC(=O)[O-]"})
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(features.loc["base"], features.loc["salt"])


def test_larger_radius_sees_more():
    narrow, wide = (molecule_features(DRUGS, radius=radius) for radius in (0, 3))
    assert narrow.to_numpy().sum() < wide.to_numpy().sum()


def test_unknown_kind_names_the_choices():
    with pytest.raises(
        ValueError, match=r"`kind='ecfp'` is not known\. The choices are \['morgan'"
    ):
        molecule_features(DRUGS, kind="ecfp")


@pytest.mark.parametrize("kind", [[], ["morgan", "morgan"]])
def test_each_kind_is_named_once(kind):
    with pytest.raises(ValueError, match="must name each kind of features once"):
        molecule_features(DRUGS, kind=kind)


def test_unknown_descriptor_gets_the_closest():
    with pytest.raises(ValueError, match=r"'MolWeight', which RDKit does not have.*'.*MolWt'"):
        molecule_features(DRUGS, kind="rdkit", descriptors=["MolWeight"])


def test_descriptor_that_is_undefined_for_a_drug_is_named():
    message = r"'BCUT2D_MWHI' is not a finite number for 'iron'\. Leave it out"
    with pytest.raises(ValueError, match=message):
        molecule_features(
            {"ethanol": "CCO", "iron": "[Fe]"}, kind="rdkit", descriptors=["BCUT2D_MWHI"]
        )


def test_real_compounds_match_the_fingerprints_and_descriptors_made_elsewhere(real_data):
    drugs = pd.read_csv(real_data / "sciplex_drugs.csv").set_index("name")
    is_salt = drugs["smiles"].str.contains(".", regex=False)
    with pytest.warns(UserWarning, match="Perturbations with the molecule of another one"):
        features = molecule_features(drugs["smiles"], kind=["morgan", "rdkit"], stereo=False)
    assert features.shape == (188, 1032)
    assert np.isfinite(features.to_numpy()).all()
    bits = np.load(real_data / "sciplex_drugs_morgan1024.npz")["fp"]
    same = (features.iloc[:, :1024].to_numpy() == bits).all(axis=1)
    assert same[~is_salt].mean() > 0.95
    assert not same[is_salt].any()


QUININE = "COc1ccc2nccc([C@@H](O)[C@@H]3C[C@@H]4CCN3C[C@@H]4C=C)c2c1"
QUINIDINE = "COc1ccc2nccc([C@H](O)[C@H]3C[C@@H]4CCN3C[C@@H]4C=C)c2c1"


def test_stereoisomers_differ_unless_told_otherwise():
    pair = {"quinine": QUININE, "quinidine": QUINIDINE}
    features = molecule_features(pair)
    assert (features.loc["quinine"] != features.loc["quinidine"]).any()
    flat = molecule_features(pair, stereo=False)
    assert (flat.loc["quinine"] == flat.loc["quinidine"]).all()
