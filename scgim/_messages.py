from __future__ import annotations

import difflib
import inspect
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

PACKAGE = Path(__file__).parent


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn the user at the line of their own code, never changing global filters.

    That line is the first outside scgim, however deep in it the warning arises, or the command line.

    Parameters
    ----------
    message
        What was found, what it means, what to do.
    category
        Warning class.
    """
    # `skip_file_prefixes` does this from Python 3.12 on.
    stacklevel, frame = 1, inspect.currentframe()
    while frame and Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
        stacklevel, frame = stacklevel + 1, frame.f_back
    warnings.warn(message, category, stacklevel=stacklevel)  # noqa: TID251 - this is the helper


def closest(word: object, choices: Iterable[object], n: int = 5) -> list[str]:
    """Name the choices most like a word, best first.

    Parameters
    ----------
    word
        What the user typed.
    choices
        What would have been accepted.
    n
        How many to name at most.

    Returns
    -------
    At most ``n`` choices as text; when none is similar, the first ones.
    """
    names = [str(choice) for choice in choices]
    by_folded = {name.casefold(): name for name in reversed(names)}
    similar = difflib.get_close_matches(str(word).casefold(), list(by_folded), n=n, cutoff=0.5)
    return [by_folded[name] for name in similar] or names[:n]


def quote_some(names: Sequence[object], n: int = 5) -> str:
    """Quote the first few names and count the rest.

    Parameters
    ----------
    names
        Names to list.
    n
        How many to show.

    Returns
    -------
    Text such as ``"'a', 'b' and 3 more"``.
    """
    shown = ", ".join(repr(str(name)) for name in names[:n])
    return shown if len(names) <= n else f"{shown} and {len(names) - n} more"


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Raise unless a value is one of those that an argument takes.

    Parameters
    ----------
    name
        Name of the argument as the user typed it.
    value
        Value that was passed.
    choices
        Values that are accepted.
    """
    if value not in choices:
        message = f"`{name}={value!r}` is not a choice. Choose one of {list(choices)}."
        raise ValueError(message)


def check_at_least(name: str, value: float, minimum: float) -> None:
    """Raise if a number is below the smallest one that makes sense.

    Parameters
    ----------
    name
        Name of the argument as the user typed it.
    value
        Number that was passed.
    minimum
        Smallest number accepted.
    """
    if value < minimum:
        msg = f"`{name}={value!r}` is too small: it must be at least {minimum}. Raise it."
        raise ValueError(msg)


def check_at_most(name: str, value: float, maximum: float) -> None:
    """Raise if a number is above the largest one that makes sense.

    Parameters
    ----------
    name
        Name of the argument as the user typed it.
    value
        Number that was passed.
    maximum
        Largest number accepted.
    """
    if value > maximum:
        msg = f"`{name}={value!r}` is too large: it must be at most {maximum}. Lower it."
        raise ValueError(msg)
