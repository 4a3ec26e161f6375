"""Features of molecules from their SMILES."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from scgim._messages import warn
from scgim.pp._checks import (
    check_descriptors,
    check_fingerprint,
    check_finite_descriptors,
    check_kinds,
)
from scgim.pp._molecules import same_molecule_warning, standardize_molecules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS = ("morgan", "rdkit")
Kind: TypeAlias = Literal["morgan", "rdkit"]
DESCRIPTORS = (
    "MolWt",
    "MolLogP",
    "TPSA",
    "NumHDonors",
    "NumHAcceptors",
    "NumRotatableBonds",
    "RingCount",
    "FractionCSP3",
)
"""Size, lipophilicity, polarity and shape: defined for every molecule, and a chemist reads them."""


def molecule_features(
    smiles: Mapping[str, str] | pd.Series,
    *,
    kind: Kind | Sequence[Kind] = "morgan",
    radius: int = 2,
    n_bits: int = 1024,
    stereo: bool = True,
    descriptors: Sequence[str] = DESCRIPTORS,
) -> pd.DataFrame:
    """Compute fingerprints or descriptors of molecules.

    Molecules are put into a standard form first: the largest organic part that is no known
    counter-ion or solvent, charges neutralised. So a drug and its salts have the same features. A drug
    with a metal, such as carboplatin, stays whole. Needs the extra ``chem``.

    Parameters
    ----------
    smiles
        Perturbation to SMILES.
    kind
        ``"morgan"``: a binary fingerprint (Rogers and Hahn, J. Chem. Inf. Model. 50:742, 2010) with
        the columns ``morgan:0`` and so on. ``"rdkit"``: descriptors, in columns such as
        ``rdkit:MolWt``. Several kinds stand side by side. The part before the colon names the block
        of features.
    radius
        Radius of the fingerprint's environments, in bonds.
    n_bits
        Length of the fingerprint.
    stereo
        Whether the fingerprint tells stereoisomers apart: of two enantiomers often one is active. The
        descriptors do not.
    descriptors
        RDKit's names of the descriptors.

    Returns
    -------
    One row per perturbation, in the order given. The columns depend on the arguments only, never on
    the molecules, so tables of different drugs fit together.

    Raises
    ------
    ValueError
        For SMILES that cannot be read, or of several molecules of which none is a known counter-ion.

    See Also
    --------
    perturbation_features : The same for the perturbations of an AnnData.
    """
    molecules, report = standardize_molecules(smiles)
    features = featurize(
        molecules,
        kind=kind,
        radius=radius,
        n_bits=n_bits,
        stereo=stereo,
        descriptors=descriptors,
    )
    message = same_molecule_warning(report)
    if message:
        warn(message)
    return features


def featurize(
    molecules: Mapping[str, Any],
    *,
    kind: Kind | Sequence[Kind],
    radius: int,
    n_bits: int,
    stereo: bool = True,
    descriptors: Sequence[str] = DESCRIPTORS,
) -> pd.DataFrame:
    """Compute features of standardised molecules, see :func:`molecule_features`.

    Parameters
    ----------
    molecules
        Perturbation to RDKit molecule.
    kind
        Kinds of features.
    radius
        Radius of the fingerprint's environments, in bonds.
    n_bits
        Length of the fingerprint.
    stereo
        Whether the fingerprint tells stereoisomers apart.
    descriptors
        RDKit's names of the descriptors.

    Returns
    -------
    One row per molecule.
    """
    kinds = [kind] if isinstance(kind, str) else list(kind)
    check_kinds(kinds, KINDS)
    check_fingerprint(radius, n_bits)
    blocks = [
        _morgan(molecules, radius, n_bits, stereo=stereo)
        if each == "morgan"
        else _descriptors(molecules, descriptors)
        for each in kinds
    ]
    return pd.concat(blocks, axis=1)


def _morgan(
    molecules: Mapping[str, Any], radius: int, n_bits: int, *, stereo: bool
) -> pd.DataFrame:
    from rdkit.Chem import rdFingerprintGenerator  # noqa: PLC0415 - an extra

    generator = rdFingerprintGenerator.GetMorganGenerator(
        radius=radius, fpSize=n_bits, includeChirality=stereo
    )
    bits = np.array([generator.GetFingerprintAsNumPy(molecule) for molecule in molecules.values()])
    columns = [f"morgan:{bit}" for bit in range(n_bits)]
    return pd.DataFrame(bits.astype(np.uint8), index=list(molecules), columns=columns)


def _descriptors(molecules: Mapping[str, Any], descriptors: Sequence[str]) -> pd.DataFrame:
    from rdkit.Chem import Descriptors  # noqa: PLC0415 - an extra

    compute = dict(Descriptors.descList)
    check_descriptors(descriptors, list(compute))
    values = pd.DataFrame(
        {
            f"rdkit:{name}": [float(compute[name](molecule)) for molecule in molecules.values()]
            for name in descriptors
        },
        index=list(molecules),
    )
    finite = np.isfinite(values)
    check_finite_descriptors(
        {
            name.removeprefix("rdkit:"): list(values.index[~finite[name]])
            for name in values
            if not finite[name].all()
        }
    )
    return values
