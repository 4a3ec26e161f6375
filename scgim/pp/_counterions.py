"""What stands beside a drug in a salt or solvate without being the drug."""

from __future__ import annotations

from functools import cache
from typing import Any

# Acids and bases of pharmaceutical salts (Stahl and Wermuth, Handbook of Pharmaceutical Salts, 2002).
COUNTERIONS = {
    "formate": "OC=O",
    "acetate": "CC(O)=O",
    "propionate": "CCC(O)=O",
    "oxalate": "OC(=O)C(O)=O",
    "malonate": "OC(=O)CC(O)=O",
    "succinate": "OC(=O)CCC(O)=O",
    "glutarate": "OC(=O)CCCC(O)=O",
    "adipate": "OC(=O)CCCCC(O)=O",
    "sebacate": "OC(=O)CCCCCCCCC(O)=O",
    "fumarate or maleate": "OC(=O)C=CC(O)=O",
    "malate": "OC(CC(O)=O)C(O)=O",
    "tartrate": "OC(C(O)C(O)=O)C(O)=O",
    "citrate": "OC(=O)CC(O)(CC(O)=O)C(O)=O",
    "lactate": "CC(O)C(O)=O",
    "glycolate": "OCC(O)=O",
    "gluconate": "OCC(O)C(O)C(O)C(O)C(O)=O",
    "glucoheptonate": "OCC(O)C(O)C(O)C(O)C(O)C(O)=O",
    "glucuronate": "OC1OC(C(O)C(O)C1O)C(O)=O",
    "mucate": "OC(C(O)C(O)C(O)=O)C(O)C(O)=O",
    "lactobionate": "OCC(O)C(OC1OC(CO)C(O)C(O)C1O)C(O)C(O)C(O)=O",
    "benzoate": "OC(=O)c1ccccc1",
    "mandelate": "OC(C(O)=O)c1ccccc1",
    "hippurate": "OC(=O)CNC(=O)c1ccccc1",
    "mesylate": "CS(O)(=O)=O",
    "esylate": "CCS(O)(=O)=O",
    "isethionate": "OCCS(O)(=O)=O",
    "edisylate": "OS(=O)(=O)CCS(O)(=O)=O",
    "triflate": "OS(=O)(=O)C(F)(F)F",
    "besylate": "OS(=O)(=O)c1ccccc1",
    "tosylate": "Cc1ccc(cc1)S(O)(=O)=O",
    "closylate": "OS(=O)(=O)c1ccc(Cl)cc1",
    "napsylate": "OS(=O)(=O)c1ccc2ccccc2c1",
    "napadisylate": "OS(=O)(=O)c1cccc2c1cccc2S(O)(=O)=O",
    "camsylate": "CC1(C)C2CCC1(CS(O)(=O)=O)C(=O)C2",
    "methyl sulfate": "COS(O)(=O)=O",
    "ethyl sulfate": "CCOS(O)(=O)=O",
    "dodecyl sulfate": "CCCCCCCCCCCCOS(O)(=O)=O",
    "cyclamate": "OS(=O)(=O)NC1CCCCC1",
    "trifluoroacetate": "OC(=O)C(F)(F)F",
    "pamoate": "OC(=O)c1cc2ccccc2c(Cc2c(O)c(cc3ccccc23)C(O)=O)c1O",
    "xinafoate": "OC(=O)c1ccc2ccccc2c1O",
    "3-hydroxy-2-naphthoate": "OC(=O)c1cc2ccccc2cc1O",
    "caprate": "CCCCCCCCCC(O)=O",
    "caprylate": "CCCCCCCC(O)=O",
    "laurate": "CCCCCCCCCCCC(O)=O",
    "palmitate": "CCCCCCCCCCCCCCCC(O)=O",
    "stearate": "CCCCCCCCCCCCCCCCCC(O)=O",
    "oleate": "CCCCCCCCC=CCCCCCCCC(O)=O",
    "undecylenate": "OC(=O)CCCCCCCCC=C",
    "pidolate": "OC(=O)C1CCC(=O)N1",
    "aspartate": "NC(CC(O)=O)C(O)=O",
    "glutamate": "NC(CCC(O)=O)C(O)=O",
    "saccharinate": "O=C1NS(=O)(=O)c2ccccc12",
    "acesulfame": "CC1=CC(=O)NS(=O)(=O)O1",
    "teoclate": "Cn1c2nc(Cl)[nH]c2c(=O)n(C)c1=O",
    "picrate": "Oc1c(cc(cc1[N+]([O-])=O)[N+]([O-])=O)[N+]([O-])=O",
    "lysine": "NCCCCC(N)C(O)=O",
    "arginine": "NC(CCCNC(N)=N)C(O)=O",
    "glycine": "NCC(O)=O",
    "meglumine": "CNCC(O)C(O)C(O)C(O)CO",
    "glucamine": "NCC(O)C(O)C(O)C(O)CO",
    "tromethamine": "NC(CO)(CO)CO",
    "olamine": "NCCO",
    "diolamine": "OCCNCCO",
    "trolamine": "OCCN(CCO)CCO",
    "deanol": "CN(C)CCO",
    "diethylaminoethanol": "CCN(CC)CCO",
    "epolamine": "OCCN1CCCC1",
    "choline": "C[N+](C)(C)CCO",
    "betaine": "C[N+](C)(C)CC([O-])=O",
    "ethylenediamine": "NCCN",
    "piperazine": "C1CNCCN1",
    "morpholine": "C1COCCN1",
    "erbumine": "CC(C)(C)N",
    "diethylamine": "CCNCC",
    "triethylamine": "CCN(CC)CC",
    "dicyclohexylamine": "C1CCC(CC1)NC1CCCCC1",
    "benzathine": "C(CNCc1ccccc1)NCc1ccccc1",
    "benethamine": "C(Cc1ccccc1)NCc1ccccc1",
    "tetramethylammonium": "C[N+](C)(C)C",
    "tetrabutylammonium": "CCCC[N+](CCCC)(CCCC)CCCC",
    "urea": "NC(N)=O",
}
# Drugs, too: where nothing else is left, they are the drug.
ALSO_DRUGS = {
    "salicylate": "OC(=O)c1ccccc1O",
    "gentisate": "OC(=O)c1cc(O)ccc1O",
    "nicotinate": "OC(=O)c1cccnc1",
    "isonicotinate": "OC(=O)c1ccncc1",
    "nicotinamide": "NC(=O)c1cccnc1",
    "orotate": "OC(=O)c1cc(=O)[nH]c(=O)[nH]1",
    "ascorbate": "OCC(O)C1OC(=O)C(O)=C1O",
    "histidine": "NC(Cc1c[nH]cn1)C(O)=O",
    "procaine": "CCN(CC)CCOC(=O)c1ccc(N)cc1",
}
SOLVENTS = {
    "methanol": "CO",
    "ethanol": "CCO",
    "isopropanol": "CC(C)O",
    "butanol": "CCCCO",
    "propylene glycol": "CC(O)CO",
    "glycerol": "OCC(O)CO",
    "acetone": "CC(C)=O",
    "ethyl acetate": "CCOC(C)=O",
    "acetonitrile": "CC#N",
    "dimethyl sulfoxide": "CS(C)=O",
    "dimethylformamide": "CN(C)C=O",
    "dimethylacetamide": "CN(C)C(C)=O",
    "N-methylpyrrolidone": "CN1CCCC1=O",
    "tetrahydrofuran": "C1CCOC1",
    "dioxane": "C1COCCO1",
    "diethyl ether": "CCOCC",
    "dichloromethane": "ClCCl",
    "chloroform": "ClC(Cl)Cl",
    "toluene": "Cc1ccccc1",
    "hexane": "CCCCCC",
}
# Carbon without an organic molecule.
INORGANIC = {
    "carbonate": "OC(O)=O",
    "carbon dioxide": "O=C=O",
    "cyanide": "C#N",
    "thiocyanate": "SC#N",
}


@cache
def known_fragments(kind: str) -> frozenset[str]:
    """Known fragments as canonical SMILES without charges and stereochemistry.

    Parameters
    ----------
    kind
        ``"counterion"``, ``"also_drug"``, ``"solvent"`` or ``"inorganic"``.

    Returns
    -------
    SMILES.
    """
    from rdkit import Chem  # noqa: PLC0415 - an extra that users may not have

    tables = {
        "counterion": COUNTERIONS,
        "also_drug": ALSO_DRUGS,
        "solvent": SOLVENTS,
        "inorganic": INORGANIC,
    }
    return frozenset(plain_smiles(Chem.MolFromSmiles(text)) for text in tables[kind].values())


def plain_smiles(molecule: Any) -> str:  # noqa: ANN401 - RDKit has no types
    """Canonical SMILES without charges, isotopes and stereochemistry.

    Parameters
    ----------
    molecule
        RDKit molecule.

    Returns
    -------
    SMILES by which fragments are compared.
    """
    from rdkit import Chem  # noqa: PLC0415 - an extra
    from rdkit.Chem.MolStandardize import rdMolStandardize  # noqa: PLC0415

    plain = rdMolStandardize.Uncharger(canonicalOrder=True).uncharge(Chem.Mol(molecule))
    Chem.RemoveStereochemistry(plain)
    for atom in plain.GetAtoms():
        atom.SetIsotope(0)
    text: str = Chem.MolToSmiles(plain)
    return text
