"""Features of the drugs of a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgim._messages import warn
from scgim.data import split_combination
from scgim.data._combinations import find_pairs
from scgim.data._screen_checks import check_perturbation_labels
from scgim.pp._checks import (
    check_column,
    check_control,
    check_molecules,
    check_one_smiles,
    check_smiles,
)
from scgim.pp._molecule_features import Kind, featurize
from scgim.pp._molecules import same_molecule_warning, standardize_molecules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from anndata import AnnData


def perturbation_features(  # noqa: PLR0913 - as molecule_features, and where to put them
    adata: AnnData,
    perturbation_key: str,
    *,
    smiles: str | Mapping[str, str] | pd.Series,
    control: str | None = None,
    kind: Kind | Sequence[Kind] = "morgan",
    radius: int = 2,
    n_bits: int = 1024,
    stereo: bool = True,
    key_added: str = "perturbation_features",
) -> pd.DataFrame:
    """Compute features of a screen's drugs from their SMILES, and store them in ``adata.uns``.

    Updates the following field:

    - ``adata.uns[key_added]``: table of features, one row per drug, ready to be named as
      ``features_key`` in ``GIM.setup_anndata``.

    Parameters
    ----------
    adata
        Annotated data.
    perturbation_key
        Column of ``adata.obs`` with the perturbation. Of a combination ``"A+B"``, the drugs A and B
        get a row each. Where the combination has a SMILES beside those of its parts, it gets a row with
        the larger of their values in each column; models predict it from its parts, and leave this out.
    smiles
        Column of ``adata.obs`` with the SMILES of each cell's drug, or drug to SMILES. The latter may
        hold drugs that the screen does not have: they get a row too, so that the model can predict
        them.
    control
        Label of the control, which needs no SMILES and gets no row.
    kind
        Kind of features, or several, see :func:`molecule_features`.
    radius
        Radius of the fingerprint's environments, in bonds.
    n_bits
        Length of the fingerprint.
    stereo
        Whether the fingerprint tells stereoisomers apart, see :func:`molecule_features`.
    key_added
        Entry of ``adata.uns`` to write.

    Returns
    -------
    A report with one row per drug: ``smiles`` as given, ``canonical_smiles``, ``removed`` (what was
    stripped as a salt or solvent), ``same_as`` (an earlier drug with the same molecule) and ``changed``
    (what was done to the molecule in words, empty if nothing).

    Raises
    ------
    ValueError
        For a drug without SMILES, one that cannot be read, or one of several molecules.

    See Also
    --------
    molecule_features : The same without an AnnData, for example for new drugs.
    gene_features : Features of genetic perturbations.
    """
    check_column(perturbation_key, list(adata.obs), name="perturbation_key", place="adata.obs")
    labels = list(map(str, adata.obs[perturbation_key].unique()))
    check_perturbation_labels(adata.obs[perturbation_key], perturbation_key)
    check_control(control, labels, key=perturbation_key)
    if isinstance(smiles, str):
        smiles = _smiles_of_labels(adata, perturbation_key, smiles)
    check_smiles(smiles)
    given = {str(name): text for name, text in smiles.items() if str(name) != control}
    everything, pairs = given, _combinations(labels, given, control)
    given = {name: text for name, text in given.items() if name not in pairs}
    drugs = _single_drugs(labels, given, control)
    check_molecules([drug for drug in drugs if drug not in given], {}, [], known=list(given))
    unseen = [drug for drug in given if drug not in drugs]
    molecules, report = standardize_molecules({drug: given[drug] for drug in [*drugs, *unseen]})
    features = featurize(molecules, kind=kind, radius=radius, n_bits=n_bits, stereo=stereo)
    for pair, parts in pairs.items():
        features.loc[pair] = features.loc[list(parts)].max()
        report.loc[pair] = [everything[pair], _joined(report, parts), "", "", _left_to(parts)]
    adata.uns[key_added] = features
    message = same_molecule_warning(report)
    if message:
        warn(message)
    return report


def _smiles_of_labels(adata: AnnData, perturbation_key: str, column: str) -> dict[str, str]:
    """Read one SMILES per label from a column of the cells."""
    check_column(column, list(adata.obs), name="smiles", place="adata.obs")
    pairs = adata.obs[[perturbation_key, column]].astype(object).drop_duplicates()
    pairs = pairs[pairs[column].notna()]
    texts: dict[str, list[str]] = {}
    for label, text in zip(pairs[perturbation_key], pairs[column], strict=True):
        texts.setdefault(str(label), []).append(text)
    several = {label: found for label, found in texts.items() if len(found) > 1}
    check_one_smiles(several, column=column)
    return {label: found[0] for label, found in texts.items()}


def _combinations(
    labels: Sequence[str], given: Mapping[str, str], control: str | None
) -> dict[str, tuple[str, ...]]:
    """Names with a SMILES of their own whose parts have one too, and these parts."""
    alone = {name for name in given if len(split_combination(name)) == 1}
    alone |= {control} if control is not None else set()
    pairs = find_pairs(
        [name for name in [*dict.fromkeys([*labels, *given])] if name in given], alone
    )
    parts = {pair: split_combination(pair, vocabulary=alone) for pair in pairs}
    return {pair: tuple(p for p in names if p != control) for pair, names in parts.items()}


def _joined(report: pd.DataFrame, parts: Sequence[str]) -> str:
    """SMILES of the parts of a combination, side by side."""
    return ".".join(report.loc[list(parts), "canonical_smiles"])


def _left_to(parts: Sequence[str]) -> str:
    """Say that a combination is not one molecule."""
    return f"a combination: the larger value of {' and '.join(parts)} in each column"


def _single_drugs(
    labels: Sequence[str], given: Mapping[str, str], control: str | None
) -> list[str]:
    """Name the drugs of all labels once, combinations taken apart, in order of appearance."""
    vocabulary = {*given} | ({control} if control is not None else set())
    parts = [part for label in labels for part in _parts(label, vocabulary)]
    return [part for part in dict.fromkeys(parts) if part != control]


def _parts(label: str, vocabulary: set[str]) -> tuple[str, ...]:
    """Drugs of a label; one that has no SMILES is named by its part that has none."""
    parts = split_combination(label, vocabulary=vocabulary)
    if label in vocabulary or len(parts) > 1:
        return parts
    apart = split_combination(label)
    return apart if vocabulary.intersection(apart) else parts
