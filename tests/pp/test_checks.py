import re

import pandas as pd
import pytest

from scgim.pp import _checks as checks


def test_column_gets_the_closest_names():
    message = (
        "`dose_key='dse'` is not a column of `adata.obs`. The columns closest to it are ['dose']. "
        "Pass one of them."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        checks.check_column("dse", ["dose", "batch_number"], name="dose_key", place="adata.obs")
    checks.check_column("dose", ["dose"], name="dose_key", place="adata.obs")


def test_no_control_and_no_layer_are_fine():
    checks.check_control(None, ["a"], key="drug")
    checks.check_layer(None, [])


def test_all_molecules_that_fail_are_named_at_once():
    message = (
        "SMILES that cannot be read as a molecule: 'A: x', 'B: y'. Expected valid SMILES without "
        "the placeholder '*'. Correct them at their source, for example from PubChem."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checks.check_molecules([], {"A": "x", "B": "y"}, [])


def test_molecule_without_atoms_is_named():
    message = (
        "The molecule of 'A' has no atoms. Expected a drug. If it is the control, name it with "
        "`control`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checks.check_molecules([], {}, ["A"])


def test_many_names_are_counted_and_not_all_listed():
    names = [f"drug_{index}" for index in range(30)]
    with pytest.raises(ValueError, match=r"No SMILES for 'drug_0', .* and 25 more\."):
        checks.check_molecules(names, {}, [])


def test_drug_without_smiles_gets_the_closest_spelling():
    message = (
        "No SMILES for 'dacinostat '. The closest names with one are ['Dacinostat']. Add what is "
        "missing, or drop these cells. If one of them is the control, name it with `control`."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        checks.check_molecules(["dacinostat "], {}, [], known=["Dacinostat", "JQ1"])


def test_smiles_without_names_are_refused():
    message = (
        "`smiles` is a list, but each SMILES must come with the name of its perturbation. Pass a "
        "dict or a pandas Series, perturbation to SMILES."
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        checks.check_smiles(["CCO"])


def test_table_instead_of_its_column_of_smiles_is_refused():
    message = (
        "`smiles` is a DataFrame, expected one column of it with the names of the perturbations in "
        "the index. Pass for example `table.set_index('drug')['smiles']`."
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        checks.check_smiles(pd.DataFrame({"smiles": ["CCO"]}))


def test_repeated_names_of_smiles_are_listed():
    message = (
        "`smiles` has several entries for 'A'. Expected one per perturbation. Keep one, or give "
        "different molecules different names."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        checks.check_smiles(pd.Series(["CCO", "CCN"], index=["A", "A"]))


def test_fingerprint_needs_a_length():
    message = "`n_bits=0` is too small for a fingerprint. Pass at least 1."
    with pytest.raises(ValueError, match=re.escape(message)):
        checks.check_fingerprint(2, 0)


def test_no_descriptor_is_refused():
    with pytest.raises(ValueError, match=r"`descriptors` is empty\. Expected at least one name"):
        checks.check_descriptors([], ["MolWt"])


def test_components_must_fit_the_control_cells():
    checks.check_control_cells(10, 4, 5)
    with pytest.raises(
        ValueError, match=r"`n_components=5` does not fit 10 control cells and 5 genes"
    ):
        checks.check_control_cells(10, 5, 5)


def test_good_embedding_passes():
    checks.check_embedding(3, [], [], [])
