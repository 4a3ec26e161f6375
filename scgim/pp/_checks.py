"""Checks on molecules and on what describes perturbations."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from scgim._messages import closest, quote_some

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def check_rdkit() -> None:
    """Raise if RDKit is not installed."""
    if importlib.util.find_spec("rdkit") is None:
        msg = (
            "Features from SMILES need the package rdkit, which is not installed. Run `pip install "
            "rdkit`, or install scgim with its extra `chem`."
        )
        raise ImportError(msg)


def check_column(key: str, columns: Collection[str], *, name: str, place: str) -> None:
    """Raise unless a key names a column.

    Parameters
    ----------
    key
        What the user typed.
    columns
        Columns that exist.
    name
        Name of the argument.
    place
        Table that should hold the column, such as ``adata.obs``.
    """
    if key not in columns:
        msg = (
            f"`{name}={key!r}` is not a column of `{place}`. The columns closest to it are "
            f"{closest(key, columns)}. Pass one of them."
        )
        raise ValueError(msg)


def check_layer(layer: str | None, layers: Collection[str]) -> None:
    """Raise unless a layer is None or exists.

    Parameters
    ----------
    layer
        What the user typed.
    layers
        Layers that exist.
    """
    if layer is not None and layer not in layers:
        msg = (
            f"`layer={layer!r}` is not in `adata.layers`. The layers closest to it are "
            f"{closest(layer, layers)}. Pass one of them, or None for `adata.X`."
        )
        raise ValueError(msg)


def check_control(control: str | None, labels: Collection[str], *, key: str) -> None:
    """Raise unless the control is None or one of the labels.

    Parameters
    ----------
    control
        What the user typed.
    labels
        Perturbation labels that occur.
    key
        Column that holds them.
    """
    if control is not None and control not in labels:
        msg = (
            f"`control={control!r}` does not occur in `adata.obs[{key!r}]`. The labels closest to "
            f"it are {closest(control, labels)}. Pass one of them."
        )
        raise ValueError(msg)


def check_kinds(kinds: Sequence[str], choices: Sequence[str]) -> None:
    """Raise unless all kinds of features are known and none is repeated.

    Parameters
    ----------
    kinds
        What the user typed.
    choices
        Kinds that exist.
    """
    for kind in kinds:
        if kind not in choices:
            msg = (
                f"`kind={kind!r}` is not known. The choices are {list(choices)}. Pass one of them."
            )
            raise ValueError(msg)
    if not kinds or len(set(kinds)) < len(kinds):
        msg = f"`kind={list(kinds)!r}` must name each kind of features once, and at least one."
        raise ValueError(msg)


def check_smiles(smiles: object) -> None:
    """Raise unless SMILES are given per perturbation, each once.

    Parameters
    ----------
    smiles
        What the user passed: perturbation to SMILES.
    """
    if isinstance(smiles, pd.DataFrame):
        msg = (
            "`smiles` is a DataFrame, expected one column of it with the names of the perturbations "
            "in the index. Pass for example `table.set_index('drug')['smiles']`."
        )
        raise TypeError(msg)
    if not isinstance(smiles, Mapping | pd.Series):
        msg = (
            f"`smiles` is a {type(smiles).__name__}, but each SMILES must come with the name of its "
            "perturbation. Pass a dict or a pandas Series, perturbation to SMILES."
        )
        raise TypeError(msg)
    index = pd.Index(smiles.keys())
    repeated = index[index.duplicated()].unique()
    if len(repeated):
        msg = (
            f"`smiles` has several entries for {quote_some(list(repeated))}. Expected one "
            "per perturbation. Keep one, or give different molecules different names."
        )
        raise ValueError(msg)


def check_fingerprint(radius: int, n_bits: int) -> None:
    """Raise unless the size of a fingerprint is positive.

    Parameters
    ----------
    radius
        Radius in bonds.
    n_bits
        Length.
    """
    for name, value, least in (("radius", radius, 0), ("n_bits", n_bits, 1)):
        if value < least:
            msg = f"`{name}={value!r}` is too small for a fingerprint. Pass at least {least}."
            raise ValueError(msg)


def check_molecules(
    missing: Sequence[str],
    invalid: Mapping[str, str],
    empty: Sequence[str],
    *,
    known: Collection[str] = (),
) -> None:
    """Raise if a perturbation has no molecule, naming all of them at once.

    Parameters
    ----------
    missing
        Perturbations whose SMILES is missing or blank.
    invalid
        Perturbation to SMILES that RDKit cannot read.
    empty
        Perturbations whose molecule has no atom.
    known
        Perturbations that have a SMILES.
    """
    if missing:
        similar = f" The closest names with one are {closest(missing[0], known)}." if known else ""
        msg = (
            f"No SMILES for {quote_some(missing)}.{similar} Add what is missing, or drop these "
            "cells. If one of them is the control, name it with `control`."
        )
        raise ValueError(msg)
    if invalid:
        listed = [f"{name}: {smiles}" for name, smiles in invalid.items()]
        msg = (
            f"SMILES that cannot be read as a molecule: {quote_some(listed)}. Expected valid SMILES "
            "without the placeholder '*'. Correct them at their source, for example from PubChem."
        )
        raise ValueError(msg)
    if empty:
        msg = (
            f"The molecule of {quote_some(empty)} has no atoms. Expected a drug. If it is the "
            "control, name it with `control`."
        )
        raise ValueError(msg)


def check_one_molecule(mixtures: Mapping[str, str]) -> None:
    """Raise if a SMILES is that of several drugs.

    Parameters
    ----------
    mixtures
        Perturbation to SMILES of several molecules, none of which is a known counter-ion.
    """
    if mixtures:
        listed = [f"{name}: {smiles}" for name, smiles in mixtures.items()]
        msg = (
            f"SMILES of several molecules: {quote_some(listed)}. None of their parts is a known "
            "counter-ion or solvent, so which one is the drug cannot be told. Keep one of them, or, for "
            "a combination 'A+B', give the SMILES of A and of B."
        )
        raise ValueError(msg)


def check_one_smiles(several: Mapping[str, Sequence[str]], *, column: str) -> None:
    """Raise if cells of one perturbation have different SMILES.

    Parameters
    ----------
    several
        Perturbation to its SMILES, for those that have more than one.
    column
        Column of ``adata.obs`` that holds them.
    """
    if several:
        name, found = next(iter(several.items()))
        msg = (
            f"Cells of perturbation {name!r} have {len(found)} different SMILES in "
            f"`adata.obs[{column!r}]`: {quote_some(found)}. Expected one per perturbation. Correct "
            "the column, or give the two molecules different names."
        )
        raise ValueError(msg)


def check_finite_descriptors(undefined: Mapping[str, Sequence[str]]) -> None:
    """Raise if a descriptor is not defined for a molecule.

    Parameters
    ----------
    undefined
        Descriptor to the perturbations for which it is NaN or infinite.
    """
    if undefined:
        descriptor, names = next(iter(undefined.items()))
        msg = (
            f"The RDKit descriptor {descriptor!r} is not a finite number for {quote_some(names)}. "
            "Leave it out of `descriptors`."
        )
        raise ValueError(msg)


def check_descriptors(descriptors: Sequence[str], known: Sequence[str]) -> None:
    """Raise if RDKit has no descriptor of that name.

    Parameters
    ----------
    descriptors
        What the user typed.
    known
        Descriptors that RDKit has.
    """
    for descriptor in descriptors:
        if descriptor not in known:
            msg = (
                f"`descriptors` contains {descriptor!r}, which RDKit does not have. The closest are "
                f"{closest(descriptor, known)}. Pass one of them."
            )
            raise ValueError(msg)
    if not descriptors:
        msg = "`descriptors` is empty. Expected at least one name, such as 'MolWt'."
        raise ValueError(msg)


def check_genes(unknown: Sequence[str], known: Collection[str], *, place: str) -> None:
    """Raise if a perturbed gene has no row to take features from.

    Parameters
    ----------
    unknown
        Perturbed genes without a row.
    known
        Genes that have one.
    place
        Where the rows are, such as ``adata.var_names``.
    """
    if unknown:
        msg = (
            f"{len(unknown)} perturbed genes are not in {place}: {quote_some(unknown)}. The closest "
            f"to the first are {closest(unknown[0], known)}. Rename them, or pass an `embedding` "
            "that has them."
        )
        raise ValueError(msg)


def check_embedding(
    n_rows: int, repeated: Sequence[str], not_numbers: Sequence[str], with_nan: Sequence[str]
) -> None:
    """Raise unless an embedding has rows, each gene once, and finite numbers only.

    Parameters
    ----------
    n_rows
        Number of rows.
    repeated
        Genes with several rows.
    not_numbers
        Columns that are not numeric.
    with_nan
        Genes with a missing or infinite number.
    """
    found = {
        "no rows": not n_rows,
        f"several rows for {quote_some(repeated)}": bool(repeated),
        f"columns that are not numbers: {quote_some(not_numbers)}": bool(not_numbers),
        f"missing or infinite numbers for {quote_some(with_nan)}": bool(with_nan),
    }
    for what, is_so in found.items():
        if is_so:
            msg = (
                f"`embedding` has {what}. Expected one row of finite numbers per gene, genes in the "
                "index. Correct the table."
            )
            raise ValueError(msg)


def check_control_cells(n_cells: int, n_components: int, n_genes: int) -> None:
    """Raise unless there is enough data for the principal components asked for.

    Parameters
    ----------
    n_cells
        Control cells.
    n_components
        Components asked for.
    n_genes
        Genes.
    """
    most = min(n_cells, n_genes) - 1
    if not 1 <= n_components <= most:
        msg = (
            f"`n_components={n_components}` does not fit {n_cells} control cells and {n_genes} genes: "
            f"it must be between 1 and {most}."
        )
        raise ValueError(msg)
