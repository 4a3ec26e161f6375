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


SALTS = {
    "tafamidis meglumine": (
        "OC(=O)c1ccc2nc(oc2c1)-c1cc(Cl)cc(Cl)c1",
        "CNC[C@H](O)[C@@H](O)[C@H](O)[C@H](O)CO",
    ),
    "aspirin lysine": (ASPIRIN, "NCCCC[C@H](N)C(O)=O"),
    "pyrantel pamoate": (
        "CN1CCCN=C1C=Cc1cccs1",
        "OC(=O)c1cc2ccccc2c(Cc2c(O)c(cc3ccccc23)C(O)=O)c1O",
    ),
    "metformin pamoate": (
        "CN(C)C(=N)NC(N)=N",
        "[O-]C(=O)c1cc2ccccc2c(Cc2c(O)c(cc3ccccc23)C([O-])=O)c1O",
    ),
    "trolamine salicylate": ("OC(=O)c1ccccc1O", "OCC[NH+](CCO)CCO"),
    "fosfomycin tromethamine": ("CC1OC1P(O)(O)=O", "NC(CO)(CO)CO"),
    "ibuprofen sodium": ("CC(C)Cc1ccc(cc1)C(C)C(O)=O", "[Na+]"),
    "salmeterol xinafoate": ("OCc1cc(C(O)CNCCCCCCOCCCCc2ccccc2)ccc1O", "OC(=O)c1ccc2ccccc2c1O"),
    "perindopril arginine": ("CCCC(NC(C)C(=O)N1C2CCCCC2CC1C(O)=O)C(=O)OCC", "NC(CCCNC(N)=N)C(O)=O"),
    "darunavir ethanolate": (
        "CC(C)CN(CC(O)C(Cc1ccccc1)NC(=O)OC1COC2OCCC12)S(=O)(=O)c1ccc(N)cc1",
        "CCO",
    ),
    "imatinib mesylate": (
        "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(n1)-c1cccnc1",
        "CS(O)(=O)=O",
    ),
    "nicotinamide ascorbate": ("CN1CCCC1c1cccnc1", "OCC(O)C1OC(=O)C(O)=C1O"),
}


@pytest.mark.parametrize("name", list(SALTS))
@pytest.mark.parametrize("form", ["{0}.{1}", "{1}.{0}", "{1}.{0}.{1}", "{0}.{1}.O"])
def test_the_drug_and_not_its_counterion_is_kept(name, form):
    drug, ion = SALTS[name]
    _, report = standardize_molecules({"drug": drug, "salt": form.format(drug, ion)})
    assert report.loc["salt", "same_as"] == "drug"
    assert report.loc["salt", "changed"].startswith("removed ")


@pytest.mark.parametrize(
    ("smiles", "element"),
    [
        ("[NH3][Pt]1([NH3])OC(=O)C2(CCC2)C(=O)O1", "Pt"),
        ("[Pt+2].N.N.[O-]C(=O)C1(CCC1)C([O-])=O", "Pt"),
        ("CCP(CC)(CC)=[Au]SC1OC(COC(C)=O)C(OC(C)=O)C(OC(C)=O)C1OC(C)=O", "Au"),
        ("N.N.Cl[Pt]Cl", "Pt"),
        ("O=[As]O[As]=O", "As"),
        ("[Li+].[Li+].[O-]C([O-])=O", "Li"),
        ("CC(=O)[O-].CC(=O)[O-].[Zn+2]", "Zn"),
        ("OB(O)C(CC(C)C)NC(=O)C(Cc1ccccc1)NC(=O)c1cnccn1", "B"),
    ],
)
def test_a_metal_that_is_the_drug_stays(smiles, element):
    molecules, report = standardize_molecules({"drug": smiles})
    assert element in {atom.GetSymbol() for atom in molecules["drug"].GetAtoms()}
    assert report.loc["drug", "removed"] == ""


@pytest.mark.parametrize(
    "mixture", ["CCO.CCN", "CC(=O)Oc1ccccc1C(O)=O.CCCCN", "c1ccccc1O.CCOCC.CCCl"]
)
def test_several_molecules_are_refused(mixture):
    with pytest.raises(ValueError, match=r"SMILES of several molecules: 'A\+B: .*of A and of B"):
        standardize_molecules({"A+B": mixture})


def test_a_drug_that_is_elsewhere_a_counterion_is_itself_when_alone():
    smiles = {"citric acid": "OC(=O)CC(O)(CC(O)=O)C(O)=O", "DMSO": "CS(C)=O", "ethanol": "CCO"}
    _, report = standardize_molecules(smiles)
    assert (report["changed"] == "").all()


def test_the_report_says_what_was_done_to_each_molecule():
    _, report = standardize_molecules({"a": "CC[NH3+].[Cl-]", "b": "CC[NH3+]", "c": "CCN"})
    assert report["changed"].tolist() == ["removed [Cl-], neutralised", "neutralised", ""]
