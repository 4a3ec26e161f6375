import pytest

from scgim.pp._counterions import (
    ALSO_DRUGS,
    COUNTERIONS,
    INORGANIC,
    SOLVENTS,
    known_fragments,
    plain_smiles,
)

Chem = pytest.importorskip("rdkit.Chem")


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("counterion", COUNTERIONS),
        ("also_drug", ALSO_DRUGS),
        ("solvent", SOLVENTS),
        ("inorganic", INORGANIC),
    ],
)
def test_every_fragment_can_be_read_and_is_there_once(kind, table):
    assert len(known_fragments(kind)) == len(table)


def test_no_fragment_is_of_two_kinds():
    kinds = [known_fragments(kind) for kind in ("counterion", "also_drug", "solvent", "inorganic")]
    assert len(frozenset().union(*kinds)) == sum(map(len, kinds))


@pytest.mark.parametrize(
    "form", ["NCCCC[C@H](N)C(O)=O", "[NH3+]CCCC[C@@H](N)C([O-])=O", "NCCCCC(N)C(=O)[O-]"]
)
def test_charges_and_stereochemistry_do_not_hide_a_fragment(form):
    assert plain_smiles(Chem.MolFromSmiles(form)) in known_fragments("counterion")
