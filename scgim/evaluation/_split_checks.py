"""Checks on how a screen is split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgim._messages import closest, quote_some

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


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


def check_split_argument(kind: str, name: str, *, is_given: bool) -> None:
    """Raise if a kind of split lacks the argument that it needs.

    Parameters
    ----------
    kind
        Kind of split.
    name
        Argument that it needs.
    is_given
        Whether it was passed.
    """
    if not is_given:
        msg = f"`kind={kind!r}` needs `{name}`, which was not given. Pass `{name}=...`."
        raise ValueError(msg)


def check_has_column(argument: str, value: str, columns: Collection[str]) -> None:
    """Raise if a name is not a column of ``obs``.

    Parameters
    ----------
    argument
        Name of the argument.
    value
        Column that was passed.
    columns
        Columns of ``obs``.
    """
    if value not in columns:
        msg = (
            f"`{argument}={value!r}` is not a column of `adata.obs`. The columns closest to it are "
            f"{closest(value, columns)}. Pass one of them."
        )
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
