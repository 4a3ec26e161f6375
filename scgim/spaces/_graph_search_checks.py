"""Checks of what a search for the causal graph is given, and warnings about what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim._messages import closest, quote_some

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from scgim._types import BoolArray


def check_prior_edges(forbidden: BoolArray, required: BoolArray, names: Sequence[str]) -> None:
    """Raise if required edges are also forbidden, or close a cycle.

    Parameters
    ----------
    forbidden
        Edges that cannot be, ``[parent, child]``.
    required
        Edges that must be, same shape.
    names
        Names of the nodes.
    """
    both = np.argwhere(forbidden & required)
    if len(both):
        pairs = [f"{names[parent]} → {names[child]}" for parent, child in both]
        msg = (
            f"{quote_some(pairs)} are both required and forbidden. "
            "Take each of them out of one of the two lists."
        )
        raise ValueError(msg)
    reach = required.copy()
    for _ in range(len(names)):
        reach = required | (required.astype(int) @ reach.astype(int) > 0)
    cyclic = [names[node] for node in np.flatnonzero(reach.diagonal()).tolist()]
    if cyclic:
        msg = (
            f"The required edges close a cycle through {quote_some(cyclic)}, but a causal graph has "
            "none. Take an edge of the cycle out."
        )
        raise ValueError(msg)


def check_are_nodes(argument: str, found: Collection[str], names: Collection[str]) -> None:
    """Raise if known targets or edges name genes that are not nodes.

    Parameters
    ----------
    argument
        Argument as the user typed it.
    found
        Names in it.
    names
        Names of the nodes.
    """
    unknown = [name for name in found if name not in names]
    if unknown:
        msg = (
            f"`{argument}` names {quote_some(unknown)}, which are not among the {len(names)} nodes. "
            f"The nodes closest to {unknown[0]!r} are {closest(unknown[0], names)}. Add the genes to "
            "the data, or leave them out."
        )
        raise ValueError(msg)


def check_edge_table(
    name: str,
    *,
    columns: Collection[object] = ("source", "target"),
    pairs: Sequence[tuple[object, ...]] = (),
) -> None:
    """Raise unless edges are pairs, or a table of source and target.

    Parameters
    ----------
    name
        Field of the search that holds them.
    columns
        Columns of the table, if it is one.
    pairs
        The pairs, if they are not a table.
    """
    missing = [column for column in ("source", "target") if column not in columns]
    if missing:
        msg = (
            f"`search.{name}` has no column {missing[0]!r}; its columns are "
            f"{[str(column) for column in columns]}. Edges are a DataFrame with the columns "
            "'source' and 'target', or pairs."
        )
        raise ValueError(msg)
    wrong = [pair for pair in pairs if len(pair) != 2]
    if wrong:
        msg = (
            f"`search.{name}` has {wrong[0]!r}, which is not a pair (source, target). Edges are a "
            "DataFrame with the columns 'source' and 'target', or pairs."
        )
        raise ValueError(msg)


def check_are_perturbations(
    argument: str, found: Sequence[str], perturbations: Collection[str]
) -> None:
    """Raise if known targets name perturbations that the screen does not have.

    Parameters
    ----------
    argument
        Argument as the user typed it.
    found
        Names in it.
    perturbations
        Perturbations of the screen.
    """
    unknown = [name for name in found if name not in perturbations]
    if unknown:
        msg = (
            f"`{argument}` names {quote_some(unknown)}, which the screen did not run. The "
            f"perturbations closest to {unknown[0]!r} are {closest(unknown[0], perturbations)}. "
            "Correct the names, or leave them out."
        )
        raise ValueError(msg)
