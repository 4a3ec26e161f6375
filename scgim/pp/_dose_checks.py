"""Checks on doses and their units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgim._messages import quote_some

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_USUAL_DOSE = 1e-2
SMALLEST_USUAL_DOSE = 1e-12
"""Range in mol/l outside of which a unit is more likely wrong than a dose unusual."""


def check_units(unit: str | None, choices: Sequence[str], *, name: str) -> None:
    """Raise unless a unit of dose is None or known.

    Parameters
    ----------
    unit
        What the user typed.
    choices
        Units that are known.
    name
        Name of the argument.
    """
    if unit is not None and unit not in choices:
        msg = (
            f"`{name}={unit!r}` is not a unit of dose that scgim knows. The choices are "
            f"{list(choices)}. Pass one of them."
        )
        raise ValueError(msg)


def check_doses(
    dose_key: str,
    *,
    unreadable: Sequence[str],
    without_unit: Sequence[str],
    other_unit: Sequence[str],
    unit: str | None,
) -> None:
    """Raise if a dose cannot be read, has no unit, or contradicts the unit that was declared.

    Parameters
    ----------
    dose_key
        Column of the doses.
    unreadable
        Entries that are not a dose: other text, negative, infinite or missing.
    without_unit
        Entries without a unit, where none was declared.
    other_unit
        Entries with a unit other than the declared one.
    unit
        Unit that was declared.
    """
    if unreadable:
        msg = (
            f"`adata.obs[{dose_key!r}]` holds entries that are not a dose: {quote_some(unreadable)}. "
            "Expected numbers from 0 up, alone or with a unit of concentration (pM, nM, µM, mM, M), "
            "such as 10 or '10 nM', and 0 for control cells. Correct them."
        )
        raise ValueError(msg)
    if without_unit:
        msg = (
            f"`adata.obs[{dose_key!r}]` holds doses without a unit: {quote_some(without_unit)}. "
            "Expected a unit for each. Declare it, for example with `unit='nM'`."
        )
        raise ValueError(msg)
    if other_unit:
        msg = (
            f"`unit={unit!r}` contradicts entries of `adata.obs[{dose_key!r}]` that name another "
            f"unit: {quote_some(other_unit)}. Leave `unit` out to use the units that are written, or "
            "correct the entries."
        )
        raise ValueError(msg)


def unusual_dose(dose_key: str, smallest: float, largest: float) -> str | None:
    """Word a warning if doses lie outside the usual range, else return None.

    Parameters
    ----------
    dose_key
        Column of the doses.
    smallest
        Smallest dose above 0, in mol/l.
    largest
        Largest dose, in mol/l.

    Returns
    -------
    The warning, or None.
    """
    if smallest >= SMALLEST_USUAL_DOSE and largest <= LARGEST_USUAL_DOSE:
        return None
    return (
        f"The doses in `adata.obs[{dose_key!r}]` run from {smallest:.3g} to {largest:.3g} mol/l. "
        f"Drugs are rarely given outside {SMALLEST_USUAL_DOSE:.0e} to {LARGEST_USUAL_DOSE:.0e} "
        "mol/l. Check the unit."
    )
