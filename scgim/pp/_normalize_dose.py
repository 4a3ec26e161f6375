"""Doses in one unit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim._messages import warn
from scgim.pp._checks import check_column
from scgim.pp._dose_checks import check_doses, check_units, unusual_dose

if TYPE_CHECKING:
    from anndata import AnnData

LOG10_MOLAR = {"pM": -12, "nM": -9, "µM": -6, "mM": -3, "M": 0}
# The micro sign, the Greek letter and "u" are the same unit on a keyboard.
SPELLINGS = {"uM": "µM", "\N{GREEK SMALL LETTER MU}M": "µM"}
_DOSE = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\W\d]*)\s*$")


def normalize_dose(
    adata: AnnData,
    dose_key: str,
    *,
    unit: str | None = None,
    to: str = "nM",
    key_added: str | None = None,
) -> pd.DataFrame:
    """Convert doses to one unit and report what was done.

    Updates the following fields:

    - ``adata.obs[key_added]``: doses in the unit ``to``,
    - ``adata.uns[f"{key_added}_conversion"]``: the report that is also returned.

    Parameters
    ----------
    adata
        Annotated data.
    dose_key
        Column of ``adata.obs`` with numbers, or with text such as ``"10 nM"``. Control cells have 0.
    unit
        Unit of the entries that name none: ``"pM"``, ``"nM"``, ``"µM"`` (or ``"uM"``), ``"mM"`` or
        ``"M"``. Numbers need it. It is an error if an entry names another unit.
    to
        Unit to convert to.
    key_added
        Column to write; ``f"{dose_key}_{to}"`` by default, so that the original stays.

    Returns
    -------
    One row per distinct entry: ``found`` (the entry as text), ``unit`` (which unit was read or
    declared), ``dose`` (in the unit ``to``) and ``n_cells``.

    Examples
    --------
    >>> import anndata, pandas
    >>> obs = pandas.DataFrame({"dose": ["0", "10 nM", "1 µM"]}, index=["a", "b", "c"])
    >>> adata = anndata.AnnData(obs=obs)
    >>> report = normalize_dose(adata, "dose", unit=None, to="nM")
    >>> adata.obs["dose_nM"].tolist()
    [0.0, 10.0, 1000.0]
    """
    check_column(dose_key, list(adata.obs), name="dose_key", place="adata.obs")
    for name, value in (("unit", unit), ("to", to)):
        check_units(_spell(value), list(LOG10_MOLAR), name=name)
    unit, to = _spell(unit), SPELLINGS.get(to, to)
    entries = adata.obs[dose_key].astype(object).where(adata.obs[dose_key].notna(), "missing")
    entries = entries.map(_as_text)
    report = _read_entries(entries, dose_key, unit, to)
    exponent = report["unit"].map(LOG10_MOLAR) - LOG10_MOLAR[to]
    report["dose"] = [
        _scale(number, power) for number, power in zip(report["dose"], exponent, strict=True)
    ]
    positive = report["dose"][report["dose"] > 0] * 10.0 ** LOG10_MOLAR[to]
    message = unusual_dose(dose_key, positive.min(), positive.max()) if len(positive) else None
    if message:
        warn(message)
    key_added = f"{dose_key}_{to}" if key_added is None else key_added
    adata.obs[key_added] = entries.map(report.set_index("found")["dose"]).astype(float)
    adata.uns[f"{key_added}_conversion"] = report.copy()
    return report


def _spell(unit: str | None) -> str | None:
    return unit if unit is None else SPELLINGS.get(unit, unit)


def _as_text(entry: object) -> str:
    """Write numbers so that equal ones look equal."""
    return entry if isinstance(entry, str) else f"{float(str(entry)):.12g}"


def _read_entries(entries: pd.Series, dose_key: str, unit: str | None, to: str) -> pd.DataFrame:
    """Return one row per distinct entry with number, unit and count of cells."""
    counts = entries.value_counts(sort=False)
    found = counts.index.to_list()
    read = [_DOSE.match(entry) for entry in found]
    numbers = [float(match[1]) if match else np.nan for match in read]
    written = [_spell(match[2]) if match else "" for match in read]
    unreadable = [
        entry
        for entry, number, its_unit in zip(found, numbers, written, strict=True)
        if not 0 <= number < np.inf or its_unit not in {"", *LOG10_MOLAR}
    ]
    needs_unit = [
        number > 0 and not its_unit for number, its_unit in zip(numbers, written, strict=True)
    ]
    check_doses(
        dose_key,
        unreadable=unreadable,
        without_unit=[e for e, needs in zip(found, needs_unit, strict=True) if needs and not unit],
        other_unit=[
            e for e, its in zip(found, written, strict=True) if unit and its not in {"", unit}
        ],
        unit=unit,
    )
    # A zero without a unit is zero in any; it takes the declared one, or the one converted to.
    units = [its_unit or unit or to for its_unit in written]
    return pd.DataFrame(
        {"found": found, "unit": units, "dose": numbers, "n_cells": counts.to_numpy()},
        index=pd.RangeIndex(len(found)).astype(str),
    )


def _scale(number: float, power: int) -> float:
    """Multiply by a power of ten; rounding hides that 0.1 and 1e-9 are not exact in binary."""
    return float(f"{number * 10.0**power:.12g}")
