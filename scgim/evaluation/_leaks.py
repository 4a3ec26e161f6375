"""Whether held-out cells had a say in what training sees: changing them must change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from scgim.data import split_combination
from scgim.evaluation._training_screen import TrainingScreen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scgim.evaluation._splits import Split

SPLIT_KEY = "split"
# Counts stay counts, but neither their genes nor their totals are what they were.
FACTOR = 3


def find_leaks(
    prepare: Callable[[ad.AnnData], Any], adata: ad.AnnData, split: Split
) -> pd.DataFrame:
    """Prove that what is prepared for training does not depend on what is held out.

    The preparation (choice of genes, scaling, principal components, features …) is run three times: twice
    on the screen as it is, and once on a copy in which every held-out cell, and the features of every
    perturbation that is in held-out cells only, are replaced by something else. Whatever training sees
    has to come out the same, to the last digit.

    Parameters
    ----------
    prepare
        The preparation: takes a copy of the whole screen with ``obs["split"]`` ("training" or
        "held out") and returns what training uses: an AnnData, arrays, tables, or a dictionary of them.
    adata
        The whole screen, which is not changed.
    split
        What is held out.

    Returns
    -------
    One row per part of what was prepared: ``part``, ``leaks`` (whether it changed), ``change`` (largest
    change of a number, NaN where it is no number or has another shape) and ``note``. Of an AnnData,
    training cells and the perturbations in them are compared. A part that differs between the two runs
    on the same screen depends on chance; it cannot be judged, and its note says so.

    See Also
    --------
    find_overlaps : Held-out cells or perturbations that training has under another name.

    Examples
    --------
    >>> adata = scgim.datasets.simulate_screen(n_genes=40, n_control=20, n_cells=2)
    >>> held_out = scgim.evaluation.split(adata, "perturbation")
    >>> find_leaks(lambda screen: {"mean": screen.X.mean(axis=0)}, adata, held_out).leaks.tolist()
    [True]
    """
    results = [
        _run(prepare, screen, split) for screen in (adata, adata, _with_other_cells(adata, split))
    ]
    names = list(dict.fromkeys(name for result in results for name in result))
    rows = [_compare(name, *(result.get(name) for result in results)) for name in names]
    return pd.DataFrame(rows, columns=["part", "leaks", "change", "note"])


def find_overlaps(adata: ad.AnnData, split: Split) -> pd.DataFrame:
    """Look for held-out cells and perturbations that training has under another name.

    Parameters
    ----------
    adata
        The whole screen.
    split
        What is held out.

    Returns
    -------
    One row per kind of overlap that was found: ``overlap``, ``n`` and ``examples``; no rows where all is
    well. "same cell": a held-out cell and a training cell have the same expression. "same features": a
    perturbation that is only in held-out cells has the features of a training perturbation, such as one
    molecule under two names.
    """
    is_held_out = split.is_held_out(adata)
    rows = []
    cells = _same_cells(adata, is_held_out)
    if cells:
        rows.append(("same cell", len(cells), cells[:5]))
    pairs = _same_features(adata, split)
    if pairs:
        rows.append(("same features", len(pairs), pairs[:5]))
    return pd.DataFrame(rows, columns=["overlap", "n", "examples"])


def _run(prepare: Callable[[ad.AnnData], Any], adata: ad.AnnData, split: Split) -> dict[str, Any]:
    screen = adata.copy()
    split.annotate(screen, SPLIT_KEY)
    is_training = ~split.is_held_out(adata)
    scope = _Scope(set(adata.obs_names[is_training]), _only_held_out(adata, split))
    return dict(scope.parts("", prepare(screen)))


class _Scope:
    """Takes results apart and leaves out what belongs to held-out cells and perturbations."""

    def __init__(self, training: set[str], unseen: set[str]) -> None:
        self._training = training
        self._unseen = unseen

    def parts(self, name: str, value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - anything
        if isinstance(value, ad.AnnData):
            yield from self._of_adata(name, value)
        elif isinstance(value, TrainingScreen):
            yield from self.parts(f"{name}pca", value.pca.components_)
            yield from self.parts(f"{name}features", value.standardized_features)
            yield from self._of_adata(name, value.adata)
        elif isinstance(value, dict):
            yield from self._of_mapping(f"{name}/" if name else "", value)
        elif isinstance(value, pd.DataFrame | pd.Series):
            yield name or "result", value[[str(row) not in self._unseen for row in value.index]]
        else:
            yield name or "result", value.toarray() if sp.issparse(value) else value

    def _of_adata(self, name: str, adata: ad.AnnData) -> Iterator[tuple[str, Any]]:
        kept = adata[[cell in self._training for cell in adata.obs_names]]
        yield f"{name}var_names", list(kept.var_names)
        yield from self.parts(f"{name}X", kept.X)
        for slot in ("layers", "obsm", "varm", "varp"):
            yield from self._of_mapping(f"{name}{slot}/", getattr(kept, slot))
        for slot in ("obs", "var"):
            table = getattr(kept, slot)
            for column in table.columns:
                yield f"{name}{slot}/{column}", table[column].to_numpy()
        own = {key: value for key, value in adata.uns.items() if key != SPLIT_KEY}
        yield from self._of_mapping(f"{name}uns/", own)

    def _of_mapping(self, name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for key, value in values.items():
            yield from self.parts(f"{name}{key}", value)


def _compare(name: str, first: Any, again: Any, other: Any) -> dict[str, Any]:  # noqa: ANN401
    if not _is_same(first, again):
        note = "differs from run to run, so it cannot be judged: fix its seed"
        return {"part": name, "leaks": False, "change": np.nan, "note": note}
    leaks = not _is_same(first, other)
    note = "depends on held-out cells or features" if leaks else ""
    return {"part": name, "leaks": leaks, "change": _largest_change(first, other), "note": note}


def _is_same(left: Any, right: Any) -> bool:  # noqa: ANN401
    if isinstance(left, pd.DataFrame | pd.Series):
        return type(left) is type(right) and left.equals(right)
    try:
        return np.array_equal(np.asarray(left), np.asarray(right), equal_nan=True)
    except TypeError:  # no NaN in text
        return np.array_equal(np.asarray(left), np.asarray(right))


def _largest_change(left: Any, right: Any) -> float:  # noqa: ANN401
    left, right = np.asarray(left), np.asarray(right)
    are_numbers = all(np.issubdtype(values.dtype, np.number) for values in (left, right))
    if not are_numbers or left.shape != right.shape:
        return np.nan
    return float(np.abs(left.astype(float) - right.astype(float)).max(initial=0.0))


def _with_other_cells(adata: ad.AnnData, split: Split) -> ad.AnnData:
    """Copy a screen, held-out cells and the features of unseen perturbations replaced."""
    other, is_held_out = adata.copy(), split.is_held_out(adata)
    other.X = _replaced(other.X, is_held_out)
    for key in list(other.layers):
        other.layers[key] = _replaced(other.layers[key], is_held_out)
    key = split.keys.features
    if key is not None and key in other.uns:
        table = other.uns[key].astype(float)
        is_unseen = [str(name) in _only_held_out(adata, split) for name in table.index]
        table.loc[is_unseen] = -FACTOR * table.loc[is_unseen].to_numpy()[:, ::-1] - 1.0
        other.uns[key] = table
    return other


def _replaced(matrix: Any, rows: np.ndarray) -> Any:  # noqa: ANN401 - sparse or dense
    if sp.issparse(matrix):
        kept, changed = sp.diags((~rows).astype(matrix.dtype)), sp.diags(rows.astype(matrix.dtype))
        return sp.csr_matrix(kept @ matrix + FACTOR * (changed @ matrix[:, ::-1]))
    return np.where(rows[:, None], FACTOR * np.asarray(matrix)[:, ::-1], matrix)


def _only_held_out(adata: ad.AnnData, split: Split) -> set[str]:
    """Perturbations that no training cell has."""
    labels = adata.obs[split.keys.perturbation].astype(str)
    is_held_out = split.is_held_out(adata)

    def parts(chosen: pd.Series) -> set[str]:
        return {part for label in chosen.unique() for part in split_combination(label)}

    return parts(labels[is_held_out]) - parts(labels[~is_held_out])


def _same_cells(adata: ad.AnnData, is_held_out: np.ndarray) -> list[tuple[str, str]]:
    """Pairs of a held-out cell and a training cell with the same expression."""
    matrix = sp.csr_matrix(adata.X)
    matrix.sort_indices()
    training: dict[bytes, str] = {}
    pairs = []
    for row in [*np.flatnonzero(~is_held_out), *np.flatnonzero(is_held_out)]:
        one = matrix[row]
        if one.nnz == 0:
            continue
        content, name = one.indices.tobytes() + one.data.tobytes(), str(adata.obs_names[row])
        if is_held_out[row] and content in training:
            pairs.append((name, training[content]))
        elif not is_held_out[row]:
            training.setdefault(content, name)
    return pairs


def _same_features(adata: ad.AnnData, split: Split) -> list[tuple[str, str]]:
    """Pairs of an unseen and a training perturbation with the same features."""
    key = split.keys.features
    if key is None or key not in adata.uns:
        return []
    table = adata.uns[key]
    unseen = _only_held_out(adata, split)
    rows = {str(name): tuple(row) for name, row in zip(table.index, table.to_numpy(), strict=True)}
    seen = {row: name for name, row in rows.items() if name not in unseen}
    return [(name, seen[rows[name]]) for name in sorted(unseen & set(rows)) if rows[name] in seen]
