"""Which conditions of a screen are held out: a split is data that can be saved and restored."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd

from scgim._files import write_text
from scgim._messages import check_at_least, check_choice, quote_some
from scgim.data import split_combination
from scgim.evaluation._checks import check_has_column, check_screen_labels, check_split_argument
from scgim.evaluation._training_screen import ScreenKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    import anndata as ad
    from numpy.typing import NDArray

SplitKind = Literal[
    "interior_dose",
    "top_dose",
    "perturbation",
    "group",
    "context",
    "perturbation_in_context",
    "combination",
]


@dataclass(frozen=True)
class Split:
    """The held-out conditions of a screen; everything else, control cells included, is training.

    Attributes
    ----------
    kind
        How it was made, see :func:`split`.
    seed
        Seed of the random choice.
    keys
        Where the design of the screen is.
    context
        Column of ``obs`` with contexts such as cell lines, ``None`` without.
    held_out
        One row per held-out condition, columns as in ``obs``.
    grouping
        Name of the groups that were kept together, such as ``"scaffold"``, ``None`` without.
    """

    kind: str
    seed: int
    keys: ScreenKeys
    context: str | None
    held_out: pd.DataFrame
    grouping: str | None = None

    def is_held_out(self, adata: ad.AnnData) -> NDArray[np.bool_]:
        """Mark the held-out cells of a screen.

        Parameters
        ----------
        adata
            The screen.

        Returns
        -------
        Mask of shape ``(n_cells,)``.
        """
        columns = list(self.held_out.columns)
        found = pd.MultiIndex.from_frame(_as_plain(adata.obs[columns]))
        wanted = pd.MultiIndex.from_frame(self.held_out)
        check_same_conditions(int(wanted.isin(found).sum()), len(wanted))
        return found.isin(wanted)

    def training(self, adata: ad.AnnData) -> ad.AnnData:
        """Copy the cells that a model may see.

        Parameters
        ----------
        adata
            The screen.

        Returns
        -------
        Training cells; ``uns`` is that of the screen.
        """
        return adata[~self.is_held_out(adata)].copy()

    def annotate(self, adata: ad.AnnData, key_added: str = "split") -> None:
        """Write the split into a screen.

        Updates ``adata.obs[key_added]`` ("training" or "held out") and ``adata.uns[key_added]``, from
        which :meth:`from_text` restores it.

        Parameters
        ----------
        adata
            The screen.
        key_added
            Name of both entries.
        """
        labels = np.where(self.is_held_out(adata), "held out", "training")
        adata.obs[key_added] = pd.Categorical(labels, categories=["training", "held out"])
        adata.uns[key_added] = self.to_text()

    def to_text(self) -> str:
        """Write the split as JSON.

        Returns
        -------
        JSON from which :meth:`from_text` restores the split exactly.
        """
        document = {
            "kind": self.kind,
            "seed": self.seed,
            "keys": asdict(self.keys),
            "context": self.context,
            "held_out": self.held_out.to_dict("list"),
            "grouping": self.grouping,
        }
        return json.dumps(document, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Split:
        """Restore a split.

        Parameters
        ----------
        text
            JSON of :meth:`to_text`.

        Returns
        -------
        The same split.
        """
        document = json.loads(text)
        document["keys"] = ScreenKeys(**document["keys"])
        document["held_out"] = pd.DataFrame(document["held_out"])
        return cls(**document)

    def save(self, path: Path) -> None:
        """Write the split to a JSON file.

        Parameters
        ----------
        path
            File to write.
        """
        write_text(path, self.to_text() + "\n")

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a split from a JSON file.

        Parameters
        ----------
        path
            File of :meth:`save`.

        Returns
        -------
        The same split.
        """
        return cls.from_text(path.read_text())


def split(
    adata: ad.AnnData,
    kind: SplitKind,
    *,
    fraction: float = 0.2,
    seed: int = 0,
    keys: ScreenKeys | None = None,
    groups: pd.Series | None = None,
    context: str | None = None,
) -> Split:
    """Choose conditions to hold out. Control cells are never held out.

    Parameters
    ----------
    adata
        The screen, which is not changed.
    kind
        ``"interior_dose"``: one dose between two others of some perturbations. ``"top_dose"``: the
        highest dose of some perturbations. ``"perturbation"``: all doses of some perturbations.
        ``"group"``: as before, but whole ``groups``, such as scaffolds
        (:func:`~scgim.pp.molecule_scaffolds`), similar fingerprints (:func:`tanimoto_groups`) or
        mechanism classes (any Series).
        ``"context"``: all treated cells of some contexts. ``"perturbation_in_context"``: some
        perturbations in one context each, seen in the others. ``"combination"``: some combinations
        whose single perturbations are seen.
    fraction
        Share of the candidates that is held out.
    seed
        Seed of the random choice.
    keys
        Where the design of the screen is.
    groups
        Group of each perturbation, for ``"group"``.
    context
        Column of ``obs``, for the kinds with contexts; by default that of ``keys``.

    Returns
    -------
    The split.

    See Also
    --------
    perturbation_folds : Hold out every perturbation once.
    tanimoto_groups : Groups of similar perturbations.

    Examples
    --------
    >>> import scgim
    >>> adata = scgim.datasets.simulate_screen(n_genes=40, n_control=20, n_cells=2)
    >>> len(split(adata, "top_dose", fraction=0.5).held_out)
    16
    """
    keys = keys or ScreenKeys()
    check_choice("kind", kind, get_args(SplitKind))
    check_fraction("fraction", fraction)
    check_split_argument(kind, "groups", is_given=kind != "group" or groups is not None)
    if context is None and "context" in kind:
        context = keys.context
    check_split_argument(kind, "context", is_given="context" not in kind or context is not None)
    design = _Design(_treated_conditions(adata, keys, context), keys, context, groups)
    chosen = _CHOICES[kind](design, fraction, np.random.default_rng(seed))
    return _make_split(kind, seed, design, chosen)


def perturbation_folds(
    adata: ad.AnnData,
    *,
    n_folds: int = 5,
    seed: int = 0,
    keys: ScreenKeys | None = None,
    groups: pd.Series | None = None,
) -> list[Split]:
    """Hold out every perturbation once, in folds of about equal size.

    Parameters
    ----------
    adata
        The screen, which is not changed.
    n_folds
        Number of folds.
    seed
        Seed of the random choice.
    keys
        Where the design of the screen is.
    groups
        Group of each perturbation, such as its scaffold; a group lies in one fold.

    Returns
    -------
    One split per fold. A combination is held out with any of its parts.

    See Also
    --------
    split : One split.
    """
    keys = keys or ScreenKeys()
    check_at_least("n_folds", n_folds, 2)
    design = _Design(_treated_conditions(adata, keys, None), keys, None, groups)
    group = design.group if groups is not None else pd.Series(design.names, index=design.names)
    kind = "perturbation" if groups is None else "group"
    fold = _balanced_folds(group, n_folds, np.random.default_rng(seed))
    return [
        _make_split(kind, seed, design, _holds_any(design, set(fold.index[fold == index])))
        for index in range(n_folds)
    ]


@dataclass(frozen=True)
class _Design:
    """Treated conditions and what the choice of held-out ones needs to know of them."""

    treated: pd.DataFrame
    keys: ScreenKeys
    context: str | None
    groups: pd.Series | None

    @property
    def perturbation(self) -> pd.Series:
        return self.treated[self.keys.perturbation]

    @property
    def parts(self) -> list[tuple[str, ...]]:
        return [split_combination(label) for label in self.perturbation]

    @property
    def names(self) -> list[str]:
        return sorted({part for parts in self.parts for part in parts})

    @property
    def group(self) -> pd.Series:
        """Group of each single perturbation."""
        assert self.groups is not None
        groups = self.groups.set_axis(self.groups.index.astype(str))
        check_has_groups(self.names, groups.index)
        return groups.loc[self.names]


def _treated_conditions(adata: ad.AnnData, keys: ScreenKeys, context: str | None) -> pd.DataFrame:
    columns = {"perturbation": keys.perturbation, "dose": keys.dose, "context": context}
    given = {name: column for name, column in columns.items() if column is not None}
    for name, column in given.items():
        check_has_column(name, column, adata.obs.columns)
    wanted = list(given.values())
    labels = adata.obs[keys.perturbation]
    check_screen_labels(keys.perturbation, labels.astype(str).unique().tolist(), keys.control)
    treated = adata.obs.loc[(labels != keys.control).to_numpy(), wanted]
    for column in wanted:
        check_design_is_known(column, n_missing=int(treated[column].isna().sum()))
    conditions = _as_plain(adata.obs[wanted]).drop_duplicates().sort_values(wanted)
    return conditions[conditions[keys.perturbation] != keys.control].reset_index(drop=True)


def _make_split(kind: str, seed: int, design: _Design, chosen: NDArray[np.bool_]) -> Split:
    check_split_sizes(kind, n_held_out=int(chosen.sum()), n_training=int((~chosen).sum()))
    grouping = None if design.groups is None else str(design.groups.name)
    held_out = design.treated[chosen].reset_index(drop=True)
    return Split(kind, seed, design.keys, design.context, held_out, grouping)


def _choose_interior_dose(
    design: _Design, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    check_split_argument("interior_dose", "keys.dose", is_given=design.keys.dose is not None)
    dose = design.treated.groupby(design.keys.perturbation)[design.keys.dose]
    is_interior = design.treated[design.keys.dose].between(
        dose.transform("min"), dose.transform("max"), inclusive="neither"
    )
    candidates = design.treated[is_interior].sample(frac=1.0, random_state=rng)
    first = candidates.drop_duplicates(design.keys.perturbation)
    kept = _draw(first[design.keys.perturbation], fraction, rng)
    chosen = first[first[design.keys.perturbation].isin(kept)]
    return design.treated.index.isin(chosen.index)


def _choose_top_dose(
    design: _Design, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    check_split_argument("top_dose", "keys.dose", is_given=design.keys.dose is not None)
    dose = design.treated.groupby(design.keys.perturbation)[design.keys.dose]
    is_top = design.treated[design.keys.dose] == dose.transform("max")
    is_repeated = dose.transform("nunique") > 1
    names = design.perturbation[is_top & is_repeated]
    return (is_top & design.perturbation.isin(_draw(names, fraction, rng))).to_numpy()


def _choose_perturbation(
    design: _Design, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    names = pd.Series([part for parts in design.parts for part in parts])
    return _holds_any(design, _draw(names, fraction, rng))


def _choose_group(design: _Design, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    group = design.group
    order = rng.permutation(group.unique())
    sizes = group.value_counts().loc[order].cumsum()
    kept = order[: max(1, int((sizes <= fraction * len(group)).sum()))]
    return _holds_any(design, set(group.index[group.isin(kept)]))


def _choose_context(
    design: _Design, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    contexts = design.treated[design.context]
    return contexts.isin(_draw(contexts, fraction, rng)).to_numpy()


def _choose_perturbation_in_context(
    design: _Design, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    columns = [design.keys.perturbation, design.context]
    pairs = design.treated[columns].drop_duplicates()
    is_repeated = pairs.groupby(design.keys.perturbation)[design.context].transform("size") > 1
    candidates = pairs[is_repeated].sample(frac=1.0, random_state=rng)
    first = candidates.drop_duplicates(design.keys.perturbation)
    kept = _draw(first[design.keys.perturbation], fraction, rng)
    chosen = pd.MultiIndex.from_frame(first[first[design.keys.perturbation].isin(kept)])
    return pd.MultiIndex.from_frame(design.treated[columns]).isin(chosen)


def _choose_combination(
    design: _Design, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    single = {parts[0] for parts in design.parts if len(parts) == 1}
    is_candidate = [len(parts) > 1 and single.issuperset(parts) for parts in design.parts]
    names = design.perturbation[is_candidate]
    return design.perturbation.isin(_draw(names, fraction, rng)).to_numpy()


_CHOICES: dict[str, Callable[[_Design, float, np.random.Generator], NDArray[np.bool_]]] = {
    "interior_dose": _choose_interior_dose,
    "top_dose": _choose_top_dose,
    "perturbation": _choose_perturbation,
    "group": _choose_group,
    "context": _choose_context,
    "perturbation_in_context": _choose_perturbation_in_context,
    "combination": _choose_combination,
}


def _draw(names: pd.Series, fraction: float, rng: np.random.Generator) -> set[str]:
    """Draw a share of the different names, at least one where there are any."""
    different = np.sort(names.unique().astype(str))
    n_drawn = min(len(different), max(1, round(fraction * len(different))))
    return set(rng.choice(different, n_drawn, replace=False)) if len(different) else set()


def _balanced_folds(group: pd.Series, n_folds: int, rng: np.random.Generator) -> pd.Series:
    """Fold of each perturbation: groups in random order, each to the smallest fold so far."""
    sizes = group.value_counts()
    load = np.zeros(n_folds, dtype=int)
    fold = {}
    for name in rng.permutation(np.sort(group.unique())):
        fold[name] = int(load.argmin())
        load[fold[name]] += sizes[name]
    return group.map(fold)


def _holds_any(design: _Design, names: set[str]) -> NDArray[np.bool_]:
    """Whether a condition has one of the named perturbations, alone or in a combination."""
    return np.array([not names.isdisjoint(parts) for parts in design.parts])


def _as_plain(obs: pd.DataFrame) -> pd.DataFrame:
    """Turn categories into text, so that conditions compare by value."""
    is_number = [pd.api.types.is_numeric_dtype(dtype) for dtype in obs.dtypes]
    return obs.astype(
        {
            column: float if number else str
            for column, number in zip(obs.columns, is_number, strict=True)
        }
    )


def check_design_is_known(column: str, *, n_missing: int) -> None:
    """Raise if cells do not say what was done to them.

    Parameters
    ----------
    column
        Column of ``obs`` with perturbation, dose or context.
    n_missing
        Cells without a value there.
    """
    if n_missing:
        msg = (
            f"`adata.obs[{column!r}]` has no value for {n_missing} cells, so it is not known which "
            "condition they belong to. Fill in the values, or leave these cells out."
        )
        raise ValueError(msg)


def check_fraction(name: str, value: float) -> None:
    """Raise unless a number lies strictly between 0 and 1.

    Parameters
    ----------
    name
        Name of the argument.
    value
        Number that was passed.
    """
    if not 0.0 < value < 1.0:
        msg = f"`{name}={value!r}` is not a share. Pass a number above 0 and below 1, such as 0.2."
        raise ValueError(msg)


def check_has_groups(perturbations: Sequence[str], grouped: Collection[str]) -> None:
    """Raise if perturbations have no group.

    Parameters
    ----------
    perturbations
        Perturbations of the screen.
    grouped
        Perturbations with a group.
    """
    missing = [name for name in perturbations if name not in grouped]
    if missing:
        msg = (
            f"`groups` has no entry for {quote_some(missing)}. "
            "Pass a Series with one group per perturbation of the screen."
        )
        raise ValueError(msg)


def check_split_sizes(kind: str, *, n_held_out: int, n_training: int) -> None:
    """Raise if a split leaves nothing to train on or nothing to test on.

    Parameters
    ----------
    kind
        Kind of split.
    n_held_out
        Conditions held out.
    n_training
        Treated conditions left for training.
    """
    if n_held_out == 0:
        msg = (
            f"`kind={kind!r}` holds out no condition of this screen. "
            "Choose another kind of split, or raise `fraction`."
        )
        raise ValueError(msg)
    if n_training == 0:
        msg = (
            f"`kind={kind!r}` leaves no treated condition to train on: all {n_held_out} are held out. "
            "Choose another kind of split, or lower `fraction`."
        )
        raise ValueError(msg)


def check_same_conditions(found: int, expected: int) -> None:
    """Raise if a split names conditions that a screen does not have.

    Parameters
    ----------
    found
        Held-out conditions that the screen has.
    expected
        Held-out conditions of the split.
    """
    if found != expected:
        msg = (
            f"This split holds out {expected} conditions, of which `adata` has {found}. "
            "Use the screen that it was made for."
        )
        raise ValueError(msg)
