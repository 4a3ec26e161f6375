"""Checks on the arguments of simulated worlds and of the loaders of real data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scgim._messages import closest

if TYPE_CHECKING:
    from collections.abc import Collection


def check_world_sizes(*, n_nodes: int, n_classes: int, n_sums: int, n_drugs: int) -> None:
    """Raise if the sizes of a simulated world contradict each other.

    Parameters
    ----------
    n_nodes
        Nodes of the causal graph.
    n_classes
        Mechanism classes; each has its own first target node.
    n_sums
        Unseen drugs that are the sum of two classes.
    n_drugs
        Training drugs.
    """
    if n_classes > n_nodes:
        msg = (
            f"`n_classes={n_classes}` is larger than `n_nodes={n_nodes}`, but each mechanism class "
            "has a first target node of its own. Lower `n_classes` or raise `n_nodes`."
        )
        raise ValueError(msg)
    if n_drugs < n_classes:
        msg = (
            f"`n_drugs={n_drugs}` is smaller than `n_classes={n_classes}`, but each mechanism class "
            "needs a training drug. Raise `n_drugs` or lower `n_classes`."
        )
        raise ValueError(msg)
    n_pairs = n_classes * (n_classes - 1) // 2
    if n_sums > n_pairs:
        msg = (
            f"`n_sums={n_sums}` is larger than the {n_pairs} pairs of {n_classes} mechanism classes. "
            "Lower `n_sums` or raise `n_classes`."
        )
        raise ValueError(msg)


def check_held_out_counts(*, n_interior: int, n_top: int, n_drugs: int, n_doses: int) -> None:
    """Raise if more dose conditions are to be held out than a screen has.

    Parameters
    ----------
    n_interior
        Interior-dose conditions to hold out, at most one per drug.
    n_top
        Top-dose conditions to hold out, at most one per drug.
    n_drugs
        Training drugs.
    n_doses
        Doses per drug.
    """
    if n_interior + n_top > n_drugs:
        msg = (
            f"`n_interior={n_interior}` and `n_top={n_top}` hold out one dose of "
            f"{n_interior + n_top} drugs, but there are only `n_drugs={n_drugs}`. Lower one of them."
        )
        raise ValueError(msg)
    if n_interior and n_doses < 3:
        msg = (
            f"`n_interior={n_interior}` needs a dose between two others, but `log10_doses` has "
            f"{n_doses}. Pass at least three doses, or `n_interior=0`."
        )
        raise ValueError(msg)


def check_known_drugs(found: Collection[str], known: Collection[str]) -> None:
    """Raise if conditions name drugs that a simulated world does not have.

    Parameters
    ----------
    found
        Drugs named by the conditions, combinations already split.
    known
        Drugs of the world.
    """
    unknown = sorted(set(found) - set(known))
    if not unknown:
        return
    msg = (
        f"`conditions` names {unknown[:5]}, which this world does not have. The drugs closest to "
        f"{unknown[0]!r} are {closest(unknown[0], sorted(known))}. Use names of `world.drug_features.index`."
    )
    raise ValueError(msg)


def check_condition_columns(found: Collection[str], expected: Collection[str]) -> None:
    """Raise if a table of conditions lacks a column.

    Parameters
    ----------
    found
        Columns of the table.
    expected
        Columns that are needed.
    """
    missing = [column for column in expected if column not in found]
    if missing:
        msg = (
            f"`conditions` lacks the columns {missing}; it has {list(found)}. "
            f"Pass a DataFrame with the columns {list(expected)}."
        )
        raise ValueError(msg)


def check_data_folder(variable: str, value: str | None) -> Path:
    """Return the folder of real data, or raise an error that says how to name it.

    Parameters
    ----------
    variable
        Name of the environment variable.
    value
        Its value, ``None`` where it is not set.

    Returns
    -------
    The folder.
    """
    if value is None or not value.strip():
        msg = (
            f"The environment variable `{variable}` is not set, so real data cannot be found. "
            f"Set `{variable}` to the folder that holds the data files."
        )
        raise ValueError(msg)
    folder = Path(value)
    if not folder.is_dir():
        msg = (
            f"`{variable}={value!r}` is not a folder. "
            f"Set `{variable}` to the folder that holds the data files."
        )
        raise ValueError(msg)
    return folder


def check_data_file(variable: str, path: Path) -> Path:
    """Return the path of a data file, or raise an error that names variable and file.

    Parameters
    ----------
    variable
        Name of the environment variable that holds the folder.
    path
        Where the file should be.

    Returns
    -------
    The same path.
    """
    if not path.is_file():
        msg = (
            f"`{variable}` names {str(path.parent)!r}, which has no file {path.name!r}. "
            f"Put the file there, or set `{variable}` to the folder that holds it."
        )
        raise ValueError(msg)
    return path
