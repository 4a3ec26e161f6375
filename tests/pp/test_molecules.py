import re
import sys

import pytest

from scgim.pp._molecules import (
    molecule_scaffolds,
    same_molecule_warning,
    standardize_molecules,
)

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def test_salt_is_stripped_and_reported():
    _, report = standardize_molecules({"base": "CCN", "hydrochloride": "CC[NH3+].[Cl-]"})
    assert report["canonical_smiles"].tolist() == ["CCN", "CCN"]
    assert report["removed"].tolist() == ["", "[Cl-]"]


def test_salt_without_an_organic_part_stays_whole():
    _, report = standardize_molecules({"lithium": "[Li+].[Cl-]"})
    assert set(report.loc["lithium", "canonical_smiles"].split(".")) == {"[Li+]", "[Cl-]"}
    assert report.loc["lithium", "removed"] == ""


def test_placeholder_is_dropped_with_the_salt_and_refused_in_the_drug():
    _, report = standardize_molecules({"a": "*.Cl.CCN"})
    assert report.loc["a", "canonical_smiles"] == "CCN"
    with pytest.raises(ValueError, match=re.escape("as a molecule: 'b: *CCCN'.")):
        standardize_molecules({"b": "*CCCN"})


def test_two_spellings_of_one_drug_are_found():
    _, report = standardize_molecules({"aspirin": ASPIRIN, "ASA": "OC(=O)c1ccccc1OC(C)=O"})
    assert report["same_as"].tolist() == ["", "aspirin"]
    assert same_molecule_warning(report).startswith(
        "Perturbations with the molecule of another one once salts are removed: 'ASA = aspirin'."
    )


def test_different_molecules_give_no_warning():
    _, report = standardize_molecules({"a": "CCO", "b": "CCN"})
    assert same_molecule_warning(report) is None


def test_order_and_names_are_kept():
    molecules, report = standardize_molecules({"z": "CCO", "a": "CCN"})
    assert list(molecules) == list(report.index) == ["z", "a"]


def test_all_invalid_smiles_are_named_with_their_drug():
    message = "SMILES that cannot be read as a molecule: 'bad: C1CC', 'worse: XX'. Expected valid"
    with pytest.raises(ValueError, match=re.escape(message)):
        standardize_molecules({"good": "CCO", "bad": "C1CC", "worse": "XX"})


@pytest.mark.parametrize("smiles", ["", "  ", None, float("nan")])
def test_missing_smiles_names_the_drug(smiles):
    with pytest.raises(ValueError, match=r"No SMILES for 'b'\. Add what"):
        standardize_molecules({"a": "CCO", "b": smiles})


def test_nothing_is_printed_for_a_bad_molecule(capfd):
    with pytest.raises(ValueError, match="cannot be read"):
        standardize_molecules({"bad": "C1CC"})
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_without_rdkit_the_error_says_which_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        ImportError, match="Run `pip install rdkit`, or install scgim with its extra `chem`"
    ):
        standardize_molecules({"a": "CCO"})


def test_scaffold_is_what_rings_and_linkers_leave():
    smiles = {"toluene": "Cc1ccccc1", "aspirin": ASPIRIN, "biphenyl": "c1ccc(cc1)-c1ccccc1"}
    scaffolds = molecule_scaffolds({**smiles, "ethanol": "CCO"})
    assert scaffolds["toluene"] == scaffolds["aspirin"] == "c1ccccc1"
    assert scaffolds["biphenyl"] == "c1ccc(-c2ccccc2)cc1"
    assert not scaffolds["ethanol"]
    assert scaffolds.name == "scaffold"
