"""Warnings of doses that look like logarithms, or like two units in one column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim._messages import warn
from scgim.data._doses import distinct_doses, snap_doses

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

MIN_DOSES = 4
# Dilution series are geometric to within how well they are written; an even series is not.
MAX_SPREAD = 0.02
MIN_UNEVEN = 0.1
MIN_RANGE = 4.5
UNITS = (1e3, 1e6, 1e9)
MAX_EXPONENT = 30.0


def warn_log_doses(doses: NDArray[np.float64], place: str) -> None:
    """Warn where doses are spaced as the logarithms of a dilution series.

    Parameters
    ----------
    doses
        Doses of the treated cells.
    place
        Where they are, as the user would write it.
    """
    different = distinct_doses(doses[doses > 0])
    if len(different) < MIN_DOSES or different.max() > MAX_EXPONENT:
        return
    if _spread(np.log(different)) < MIN_UNEVEN:
        return
    powers = {
        "10 ** dose - 1": 10.0**different - 1,
        "exp(dose) - 1": np.expm1(different),
        "2 ** dose - 1": 2.0**different - 1,
    }
    # A short even series, such as 0.5, 1, 1.5 and 2, is as often one of doses; decades are not.
    is_decades = abs(np.diff(different).mean() - 1) < MAX_SPREAD
    if is_decades or different[-1] > MIN_RANGE * different[0]:
        powers["10 ** dose"] = 10.0**different
    for name, values in powers.items():
        if (values > 0).all() and _spread(np.log(values)) < MAX_SPREAD:
            shown = ", ".join(f"{dose:g}" for dose in different[:MIN_DOSES])
            warn(
                f"{place} has the doses {shown} ..., of which `{name}` is a dilution series: they look "
                "like logarithms. The dose response needs doses as they were given. If they are "
                "logarithms, undo them; if not, ignore this."
            )
            return


def _spread(values: NDArray[np.float64]) -> float:
    """Spread of the steps of a series, relative to their mean."""
    steps = np.diff(values)
    return float(steps.std() / np.abs(steps.mean()))


def warn_units(doses: NDArray[np.float64], groups: Mapping[str, pd.Series], place: str) -> None:
    """Warn where the doses of one group are those of another in a smaller unit.

    Parameters
    ----------
    doses
        Doses of all cells.
    groups
        Column to the group of each cell: batch, covariates, perturbation.
    place
        Where the doses are, as the user would write it.
    """
    for key, group in groups.items():
        by_group = {
            str(name): distinct_doses(doses[rows][doses[rows] > 0])
            for name, rows in group.groupby(group, observed=True).indices.items()
        }
        slip = _find_slip(by_group)
        if slip:
            left, right, unit = slip
            warn(
                f"{place} of {key}={right!r} are {unit:g} times those of {key}={left!r} and share none "
                "with them. Are both in one unit (nM, µM)? Doses are compared as they are; bring them "
                "to one unit, for example with `scgim.pp.normalize_dose`."
            )
            return


def _find_slip(by_group: Mapping[str, NDArray[np.float64]]) -> tuple[str, str, float] | None:
    """Two groups without a common dose, one of which has most doses of the other in another unit."""
    series = {tuple(doses): name for name, doses in by_group.items() if len(doses)}
    for low, left in series.items():
        for high, right in series.items():
            if not max(low) < max(high) or _share(low, high) > 0:
                continue
            for unit in UNITS:
                # A single dose is found at a thousand times another one too easily.
                if min(len(low), len(high)) > 1 and _share(np.array(low) * unit, high) > 0.5:
                    return left, right, unit
    return None


def _share(doses: object, known: object) -> float:
    found = np.asarray(doses, dtype=np.float64)
    sorted_known = np.asarray(known, dtype=np.float64)
    return float(np.isin(snap_doses(found, sorted_known), sorted_known).mean())
