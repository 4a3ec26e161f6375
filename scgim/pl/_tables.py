"""Checks and reshaping of the tables that figures are drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim._messages import closest

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_table(table: object, columns: Sequence[str], *, name: str, source: str) -> None:
    """Raise unless ``table`` is a DataFrame with these columns and at least one row.

    Parameters
    ----------
    table
        What the user passed.
    columns
        Columns that must be there.
    name
        Name of the argument, for the message.
    source
        The call that returns such a table, for the message.
    """
    if not isinstance(table, pd.DataFrame):
        msg = (
            f"`{name}` is a {type(table).__name__}, but figures are drawn from a DataFrame. "
            f"Pass the table that `{source}` returns."
        )
        raise TypeError(msg)
    missing = [column for column in columns if column not in table.columns]
    if missing:
        msg = (
            f"`{name}` has no column {missing}; its columns are {list(table.columns)[:8]}. "
            f"Pass the table that `{source}` returns."
        )
        raise ValueError(msg)
    if table.empty:
        msg = f"`{name}` has no rows, so there is nothing to draw."
        raise ValueError(msg)


def check_known(wanted: Sequence[str], known: Sequence[str], *, name: str) -> None:
    """Raise if an entry of ``wanted`` is not among ``known``, naming the closest that are."""
    unknown = [entry for entry in wanted if entry not in set(known)]
    if not unknown:
        return
    msg = (
        f"`{name}` contains {unknown[0]!r}, which is not in the table. The closest are "
        f"{closest(unknown[0], known)}."
    )
    raise ValueError(msg)


def pick(
    table: pd.DataFrame,
    perturbations: Sequence[str] | None,
    nodes: Sequence[str] | None,
) -> pd.DataFrame:
    """Keep the rows of these perturbations and nodes; None keeps all."""
    for column, wanted in (("perturbation", perturbations), ("node", nodes)):
        if wanted is None:
            continue
        check_known(wanted, list(table[column].unique()), name=f"{column}s")
        table = table[table[column].isin(list(wanted))]
    return table


def to_matrix(table: pd.DataFrame, value: str, *, name: str) -> pd.DataFrame:
    """Turn a tidy table into perturbations x nodes, both in order of appearance.

    Parameters
    ----------
    table
        Tidy table with the columns ``perturbation`` and ``node``.
    value
        Column that fills the matrix.
    name
        Name of the argument that holds the table, for the message.
    """
    twice = table.duplicated(["perturbation", "node"])
    if twice.any():
        row = table.loc[twice].iloc[0]
        msg = (
            f"`{name}` has several rows for perturbation {row['perturbation']!r} and node "
            f"{row['node']!r}. Keep one row per perturbation and node."
        )
        raise ValueError(msg)
    rows, columns = table["perturbation"].unique(), table["node"].unique()
    tidy = table.set_index(["perturbation", "node"])[value]
    matrix = tidy.unstack("node").reindex(index=rows, columns=columns)  # noqa: PD010 - pivot sorts
    matrix = matrix.rename_axis(index=None, columns=None)
    if matrix.isna().to_numpy().any():
        msg = f"`{name}` lacks {value!r} for some perturbation and node. Fill or drop these rows."
        raise ValueError(msg)
    return matrix


def check_square(adjacency: object, *, name: str = "adjacency") -> pd.DataFrame:
    """Return the adjacency as float if it is a square, finite table with equal labels, else raise."""
    source = "GIM.get_causal_graph"
    if not isinstance(adjacency, pd.DataFrame):
        msg = (
            f"`{name}` is a {type(adjacency).__name__}, expected a DataFrame over nodes "
            f"(row = parent, column = child). Pass the table that `{source}` returns."
        )
        raise TypeError(msg)
    if list(adjacency.index) != list(adjacency.columns) or adjacency.empty:
        msg = (
            f"`{name}` has shape {adjacency.shape} and its row and column labels differ or are "
            f"empty. Expected the same nodes in the same order on both sides, as `{source}` returns."
        )
        raise ValueError(msg)
    values = adjacency.astype(float)
    if not np.isfinite(values.to_numpy()).all():
        msg = f"`{name}` contains NaN or infinite weights. Set missing edges to 0."
        raise ValueError(msg)
    return values
