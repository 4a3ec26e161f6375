"""Molecules in a standard form."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from scgim._messages import quote_some
from scgim.pp._checks import check_molecules, check_rdkit, check_smiles

if TYPE_CHECKING:
    from collections.abc import Mapping

CARBON = 6


def standardize_molecules(smiles: Mapping[str, str]) -> tuple[dict[str, Any], pd.DataFrame]:
    """Read SMILES, keep the largest organic part of salts, neutralise its charges.

    A salt without an organic part, such as lithium chloride, stays whole.

    Parameters
    ----------
    smiles
        Perturbation to SMILES.

    Returns
    -------
    Perturbation to RDKit molecule, and a report with one row per perturbation: ``smiles`` as given,
    ``canonical_smiles``, ``removed`` (what was stripped as a salt or solvent, empty if nothing) and
    ``same_as`` (an earlier perturbation with the same molecule, empty if none).
    """
    check_rdkit()
    check_smiles(smiles)
    from rdkit import Chem, rdBase  # noqa: PLC0415 - an extra that users may not have
    from rdkit.Chem.MolStandardize import rdMolStandardize  # noqa: PLC0415

    names = {str(name): text for name, text in smiles.items()}
    missing = [
        name for name, text in names.items() if not isinstance(text, str) or not text.strip()
    ]
    # RDKit prints every step of the standardisation; errors are worded here instead.
    with rdBase.BlockLogs():
        parsed = {
            name: Chem.MolFromSmiles(text) for name, text in names.items() if name not in missing
        }
        choose = rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose
        invalid = {
            name: names[name]
            for name, molecule in parsed.items()
            if molecule is None or _has_placeholder(choose(molecule))
        }
        empty = [name for name, found in parsed.items() if found and not found.GetNumAtoms()]
        check_molecules(missing, invalid, empty)
        cleaned = {name: rdMolStandardize.Cleanup(found) for name, found in parsed.items()}
        parents = {
            name: choose(molecule) if _is_organic(molecule) else molecule
            for name, molecule in cleaned.items()
        }
        uncharge = rdMolStandardize.Uncharger().uncharge
        molecules = {name: uncharge(molecule) for name, molecule in parents.items()}
    canonical = {name: Chem.MolToSmiles(molecule) for name, molecule in molecules.items()}
    removed = {}
    for name, molecule in cleaned.items():
        kept, given = (
            Counter(Chem.MolToSmiles(part) for part in Chem.GetMolFrags(whole, asMols=True))
            for whole in (parents[name], molecule)
        )
        removed[name] = ".".join(sorted((given - kept).elements()))
    first: dict[str, str] = {}
    same_as = {}
    for name, text in canonical.items():
        earlier = first.setdefault(text, name)
        same_as[name] = "" if earlier == name else earlier
    report = pd.DataFrame(
        {
            "smiles": names,
            "canonical_smiles": canonical,
            "removed": removed,
            "same_as": same_as,
        },
        index=list(names),
    )
    return molecules, report


def molecule_scaffolds(smiles: Mapping[str, str] | pd.Series) -> pd.Series:
    """Find the Bemis-Murcko scaffold of molecules: their rings and what links them.

    Needs the extra ``chem``. Bemis and Murcko, J. Med. Chem. 39:2887, 1996.

    Parameters
    ----------
    smiles
        Perturbation to SMILES.

    Returns
    -------
    SMILES of the scaffold of each perturbation, empty for a molecule without rings.

    See Also
    --------
    molecule_features : Fingerprints and descriptors of molecules.
    """
    molecules, _ = standardize_molecules(smiles)
    from rdkit.Chem.Scaffolds import MurckoScaffold  # noqa: PLC0415 - an extra

    scaffolds = {
        name: MurckoScaffold.MurckoScaffoldSmiles(mol=molecule)
        for name, molecule in molecules.items()
    }
    return pd.Series(scaffolds, name="scaffold", dtype=str)


def _is_organic(molecule: Any) -> bool:  # noqa: ANN401 - RDKit has no types
    return any(atom.GetAtomicNum() == CARBON for atom in molecule.GetAtoms())


def _has_placeholder(molecule: Any) -> bool:  # noqa: ANN401
    """Tell whether an atom is ``*``, which stands for anything, so that this is no molecule yet."""
    return any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms())


def same_molecule_warning(report: pd.DataFrame) -> str | None:
    """Word a warning if perturbations share a molecule, else return None.

    Parameters
    ----------
    report
        Report of :func:`standardize_molecules`.

    Returns
    -------
    The warning, or None.
    """
    repeated = report[report["same_as"] != ""]
    if repeated.empty:
        return None
    pairs = [f"{name} = {other}" for name, other in repeated["same_as"].items()]
    return (
        "Perturbations with the molecule of another one once salts are removed: "
        f"{quote_some(pairs)}. Their features are equal, so no model can tell them apart. Merge "
        "their labels if they are the same drug."
    )
