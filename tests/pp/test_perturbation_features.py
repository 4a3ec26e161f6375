import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.pp import molecule_features, perturbation_features

SMILES = {"A": "CCO", "B": "c1ccccc1", "C": "NCC(=O)O"}


def test_table_has_one_row_per_drug_and_none_for_the_control(make_screen):
    adata = make_screen(drug=["B", "vehicle", "A", "B"])
    report = perturbation_features(
        adata, "drug", smiles={"A": "CCO", "B": "c1ccccc1"}, control="vehicle", n_bits=32
    )
    expected = molecule_features({"B": "c1ccccc1", "A": "CCO"}, n_bits=32)
    pd.testing.assert_frame_equal(adata.uns["perturbation_features"], expected)
    assert list(report.index) == ["B", "A"]
    assert report.loc["A", "canonical_smiles"] == "CCO"


def test_drugs_that_the_screen_lacks_get_a_row_to_predict_them(make_screen):
    adata = make_screen(drug=["A", "A"])
    perturbation_features(adata, "drug", smiles=SMILES, key_added="features")
    assert list(adata.uns["features"].index) == ["A", "B", "C"]


def test_smiles_may_be_a_column_of_the_cells(make_screen):
    adata = make_screen(
        drug=pd.Categorical(["A", "vehicle", "A"]), smiles=pd.Categorical(["CCO", np.nan, "CCO"])
    )
    perturbation_features(adata, "drug", smiles="smiles", control="vehicle")
    assert list(adata.uns["perturbation_features"].index) == ["A"]


def test_combinations_give_a_row_to_each_part(make_screen):
    adata = make_screen(drug=["A+B", "C", "(+)-D"])
    perturbation_features(adata, "drug", smiles={**SMILES, "(+)-D": "CCN"})
    assert list(adata.uns["perturbation_features"].index) == ["A", "B", "C", "(+)-D"]


def test_table_survives_a_file(make_screen, tmp_path):
    adata = make_screen(drug=["A", "B"])
    perturbation_features(adata, "drug", smiles=SMILES, kind=["morgan", "rdkit"], n_bits=16)
    adata.write_h5ad(tmp_path / "screen.h5ad")
    stored = ad.read_h5ad(tmp_path / "screen.h5ad").uns["perturbation_features"]
    pd.testing.assert_frame_equal(
        stored, adata.uns["perturbation_features"], check_index_type=False, check_column_type=False
    )


def test_drug_without_smiles_is_named_and_nothing_is_written(make_screen):
    adata = make_screen(drug=["A", "vehicle"])
    message = r"No SMILES for 'vehicle'\. .*name it with `control`\."
    with pytest.raises(ValueError, match=message):
        perturbation_features(adata, "drug", smiles=SMILES)
    assert not adata.uns


def test_cell_without_a_label_is_refused(make_screen):
    adata = make_screen(drug=["A", np.nan])
    with pytest.raises(ValueError, match=r"`adata.obs\['drug'\]` is missing for 1 of 2 cells"):
        perturbation_features(adata, "drug", smiles=SMILES)


def test_columns_do_not_depend_on_the_drugs(make_screen):
    tables = []
    for drug in "AB":
        adata = make_screen(drug=[drug])
        perturbation_features(adata, "drug", smiles={drug: SMILES[drug]}, kind=["morgan", "rdkit"])
        tables.append(adata.uns["perturbation_features"])
    assert list(tables[0]) == list(tables[1])
    assert tables[0].shape == (1, 1032)


def test_two_smiles_of_one_drug_are_named(make_screen):
    adata = make_screen(drug=["A", "A"], smiles=["CCO", "CCN"])
    message = r"perturbation 'A' have 2 different SMILES in `adata.obs\['smiles'\]`: 'CCO', 'CCN'"
    with pytest.raises(ValueError, match=message):
        perturbation_features(adata, "drug", smiles="smiles")


def test_misspelt_control_gets_the_closest_label(make_screen):
    adata = make_screen(drug=["A", "vehicle"])
    with pytest.raises(ValueError, match=r"`control='Vehicel'` does not occur.*\['vehicle'\]"):
        perturbation_features(adata, "drug", smiles=SMILES, control="Vehicel")


def test_misspelt_column_gets_the_closest(make_screen):
    adata = make_screen(drug=["A"])
    with pytest.raises(ValueError, match=r"`perturbation_key='drugs'` is not a column.*\['drug'\]"):
        perturbation_features(adata, "drugs", smiles=SMILES)
    with pytest.raises(ValueError, match=r"`smiles='smile'` is not a column of `adata.obs`"):
        perturbation_features(adata, "drug", smiles="smile")


def test_same_molecule_under_two_names_is_a_warning_at_the_users_line(make_screen):
    adata = make_screen(drug=["A", "B"])
    message = (
        "Perturbations with the molecule of another one once salts are removed: 'B = A'. Their "
        "features are equal, so no model can tell them apart. Merge their labels if they are the "
        "same drug."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$") as caught:
        report = perturbation_features(adata, "drug", smiles={"A": "CCO", "B": "OCC"})
    assert caught[0].filename == __file__
    assert report["same_as"].tolist() == ["", "A"]


UNREADABLE = (
    "SMILES that cannot be read as a molecule: 'B: C1CC'. Expected valid SMILES without the "
    "placeholder '*'. Correct them at their source, for example from PubChem."
)
EMPTY = (
    "No SMILES for 'B'. Add what is missing, or drop these cells. If one of them is the control, "
    "name it with `control`."
)


@pytest.mark.parametrize(("smiles", "message"), [("C1CC", UNREADABLE), ("", EMPTY)])
def test_a_bad_molecule_is_named_and_nothing_is_written(make_screen, smiles, message):
    adata = make_screen(drug=["A", "B"])
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        perturbation_features(adata, "drug", smiles={"A": "CCO", "B": smiles})
    assert not adata.uns


def test_smiles_of_a_pair_in_the_cells_are_left_to_its_parts(make_screen):
    adata = make_screen(drug=["A", "B", "A+B"])
    adata.obs["smiles"] = adata.obs["drug"].map({"A": "CCCCO", "B": "CCCCN", "A+B": "CCCCO.CCCCN"})
    report = perturbation_features(adata, "drug", smiles="smiles")
    features = adata.uns["perturbation_features"]
    assert (features.loc["A+B"] == features.loc[["A", "B"]].max()).all()
    assert report.loc["A+B", "canonical_smiles"] == "CCCCO.CCCCN"
    assert report.loc["A+B", "changed"].startswith("a combination")
    assert features.dtypes.unique().tolist() == [np.uint8]


def test_smiles_of_a_pair_whose_parts_have_none_are_refused(make_screen):
    adata = make_screen(drug=["C", "A+B"])
    adata.obs["smiles"] = adata.obs["drug"].map({"C": "CCCl", "A+B": "CCCCO.CCCCN"})
    with pytest.raises(ValueError, match="SMILES of several molecules"):
        perturbation_features(adata, "drug", smiles="smiles")
    assert not adata.uns
