"""Molecules in a standard form."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from scgim._messages import quote_some
from scgim.pp._checks import check_molecules, check_one_molecule, check_rdkit, check_smiles
from scgim.pp._counterions import known_fragments, plain_smiles

if TYPE_CHECKING:
    from collections.abc import Mapping

CARBON = 6
# Li, Na, Mg, Al, K, Ca, Zn, Rb, Sr, Cs and Ba stand beside drugs in salts; every other metal, such as
# platinum and gold, is part of the drug.
SALT_METALS = frozenset({3, 11, 12, 13, 19, 20, 30, 37, 38, 55, 56})
ALKALI = frozenset({11, 19})
NONMETALS = frozenset({1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 34, 35, 36, 52, 53, 54, 85, 86})
# A solvent is told from a second small molecule by the size of what it dissolves.
MIN_DISSOLVED = 8


def standardize_molecules(smiles: Mapping[str, str]) -> tuple[dict[str, Any], pd.DataFrame]:
    """Read SMILES, take away counter-ions and solvents, neutralise charges.

    What stays is the largest organic fragment that is no known counter-ion. A molecule with a metal
    that is not one of salts (platinum, gold) and a salt without an organic drug (lithium chloride,
    zinc acetate) stay whole.

    Parameters
    ----------
    smiles
        Perturbation to SMILES.

    Returns
    -------
    Perturbation to RDKit molecule, and a report with one row per perturbation: ``smiles`` as given,
    ``canonical_smiles``, ``removed`` (what was stripped as a salt or solvent, empty if nothing),
    ``same_as`` (an earlier perturbation with the same molecule, empty if none) and ``changed`` (what
    was done to the molecule in words, empty if nothing).

    Raises
    ------
    ValueError
        For SMILES that cannot be read, and those of several molecules none of which is a known
        counter-ion.
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
        empty = [name for name, found in parsed.items() if found and not found.GetNumAtoms()]
        readable = {name: found for name, found in parsed.items() if found and name not in empty}
        cleaned = {name: _clean(found) for name, found in readable.items()}
        kept = {name: _kept_fragments(found) for name, found in cleaned.items()}
        invalid = {
            name: names[name]
            for name in parsed
            if name not in empty and (name not in kept or any(map(_has_placeholder, kept[name])))
        }
        check_molecules(missing, invalid, empty)
        check_one_molecule(
            {name: names[name] for name, found in kept.items() if _n_different(found) > 1}
        )
        parents = {name: found[0] for name, found in kept.items()}
        uncharge = rdMolStandardize.Uncharger().uncharge
        molecules = {name: uncharge(molecule) for name, molecule in parents.items()}
    canonical = {name: Chem.MolToSmiles(molecule) for name, molecule in molecules.items()}
    removed = {name: _removed(cleaned[name], parents[name]) for name in cleaned}
    is_charged = {name: Chem.MolToSmiles(parents[name]) != canonical[name] for name in canonical}
    report = pd.DataFrame(
        {
            "smiles": names,
            "canonical_smiles": canonical,
            "removed": removed,
            "same_as": _same_as(canonical),
            "changed": {
                name: _describe_change(removed[name], is_charged=is_charged[name]) for name in names
            },
        },
        index=list(names),
    )
    return molecules, report


def _clean(molecule: Any) -> Any:  # noqa: ANN401 - RDKit has no types
    """Normalise a molecule; metals are taken from their bonds only where they are those of salts."""
    from rdkit import Chem  # noqa: PLC0415 - an extra
    from rdkit.Chem.MolStandardize import rdMolStandardize  # noqa: PLC0415

    if not _has_drug_metal(molecule):
        return rdMolStandardize.Cleanup(molecule)
    return Chem.RemoveHs(molecule)


def _kept_fragments(molecule: Any) -> list[Any]:  # noqa: ANN401
    """Fragments that are the drug; several different ones are a mixture."""
    from rdkit import Chem  # noqa: PLC0415 - an extra

    if _has_drug_metal(molecule):
        return [molecule]
    fragments = list(Chem.GetMolFrags(molecule, asMols=True))
    organic = [part for part in fragments if _is_organic(part)]
    unknown = [part for part in organic if plain_smiles(part) not in _auxiliaries()]
    drugs = unknown or [p for p in organic if plain_smiles(p) in known_fragments("also_drug")]
    if drugs:
        return [*drugs, *_solvents(organic, drugs)]
    elements = {atom.GetAtomicNum() for atom in molecule.GetAtoms()}
    has_salt_metal = bool(elements & (SALT_METALS - ALKALI))
    if not organic or has_salt_metal:
        return [molecule]
    largest = max(part.GetNumHeavyAtoms() for part in organic)
    return [part for part in organic if part.GetNumHeavyAtoms() == largest]


def _auxiliaries() -> frozenset[str]:
    """Fragments that are the drug only where there is no other."""
    kinds = ("counterion", "also_drug", "solvent")
    return frozenset().union(*(known_fragments(kind) for kind in kinds))


def _solvents(organic: list[Any], drugs: list[Any]) -> list[Any]:
    """Solvents beside molecules so small that either may be meant."""
    if max(part.GetNumHeavyAtoms() for part in drugs) >= MIN_DISSOLVED:
        return []
    return [part for part in organic if plain_smiles(part) in known_fragments("solvent")]


def _n_different(fragments: list[Any]) -> int:
    return len({plain_smiles(part) for part in fragments})


def _removed(cleaned: Any, parent: Any) -> str:  # noqa: ANN401
    """SMILES of the fragments that are gone."""
    from rdkit import Chem  # noqa: PLC0415 - an extra

    kept, given = (
        Counter(Chem.MolToSmiles(part) for part in Chem.GetMolFrags(whole, asMols=True))
        for whole in (parent, cleaned)
    )
    return ".".join(sorted((given - kept).elements()))


def _same_as(canonical: Mapping[str, str]) -> dict[str, str]:
    """Earlier perturbation with the same molecule, for each one."""
    first: dict[str, str] = {}
    return {
        name: "" if (earlier := first.setdefault(text, name)) == name else earlier
        for name, text in canonical.items()
    }


def _describe_change(removed: str, *, is_charged: bool) -> str:
    changes = [f"removed {removed}"] if removed else []
    return ", ".join([*changes, "neutralised"] if is_charged else changes)


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
    has_carbon = any(atom.GetAtomicNum() == CARBON for atom in molecule.GetAtoms())
    return has_carbon and plain_smiles(molecule) not in known_fragments("inorganic")


def _has_drug_metal(molecule: Any) -> bool:  # noqa: ANN401
    """Tell whether a molecule has a metal that is no counter-ion."""
    elements = {atom.GetAtomicNum() for atom in molecule.GetAtoms()} - {0}
    return bool(elements - NONMETALS - SALT_METALS)


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
