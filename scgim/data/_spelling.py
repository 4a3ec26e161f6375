"""Check on names of perturbations that look like two spellings of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_spelling(names: Iterable[str], place: str) -> None:
    """Raise where two names differ in upper case and blanks only.

    Parameters
    ----------
    names
        Perturbations and the control.
    place
        Where they are, as the user typed it.
    """
    spellings: dict[str, str] = {}
    for name in names:
        other = spellings.setdefault("".join(name.split()).casefold(), name)
        if other != name:
            message = (
                f"{place} has {other!r} and {name!r}, which differ in upper case or blanks only "
                "and would be two perturbations. Give them one label or, if they are two, names "
                "that differ in more."
            )
            raise ValueError(message)
