"""Doses as numbers that can be compared: two within a relative 1e-6 are the same dose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Numbers of 32 bits carry seven digits, and nobody pipettes more.
SAME_DOSE = 1e-6


def read_doses(values: pd.Series | NDArray[np.float64]) -> NDArray[np.float64]:
    """Read a column of doses, as the numbers that were written.

    A dose of fewer than 64 bits is the shortest decimal that stands for it: 0.07 and not
    0.07000000029802322. Doses within a relative 1e-6 of each other become the lowest of them.

    Parameters
    ----------
    values
        Doses, of any numeric type.

    Returns
    -------
    The doses, same shape; NaN where they are missing.
    """
    column = pd.Series(np.asarray(values) if not isinstance(values, pd.Series) else values)
    doses = column.to_numpy(np.float64, na_value=np.nan).copy()
    if str(column.dtype).casefold() in {"float16", "float32"}:
        short = np.float16 if "16" in str(column.dtype) else np.float32
        different, place = np.unique(doses.astype(short), return_inverse=True)
        doses = np.array([float(str(dose)) for dose in different], dtype=np.float64)[place.ravel()]
    return snap_doses(doses, distinct_doses(doses))


def distinct_doses(doses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sort doses and keep one of each, the lowest of those that are the same.

    Parameters
    ----------
    doses
        Doses; NaN is left out.

    Returns
    -------
    Sorted doses.
    """
    different = np.unique(doses[np.isfinite(doses)])
    if len(different) < 2:
        return different
    is_new = np.r_[True, different[1:] - different[:-1] > SAME_DOSE * np.abs(different[1:])]
    return different[is_new]


def snap_doses(doses: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace each dose by the known one that it is the same as, if there is one.

    Parameters
    ----------
    doses
        Doses.
    known
        Sorted doses.

    Returns
    -------
    Doses, same shape.
    """
    if len(known) == 0:
        return doses
    right = np.searchsorted(known, doses).clip(0, len(known) - 1)
    left = (right - 1).clip(0)
    with np.errstate(invalid="ignore"):
        is_left = np.abs(doses - known[left]) < np.abs(doses - known[right])
        nearest = known[np.where(is_left, left, right)]
        return np.where(np.abs(doses - nearest) <= SAME_DOSE * np.abs(nearest), nearest, doses)


def is_outside(
    doses: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell which doses lie outside a range, whose ends belong to it.

    Parameters
    ----------
    doses
        Doses.
    low
        Lowest dose that was run.
    high
        Highest dose that was run.

    Returns
    -------
    Same shape.
    """
    return (doses < low * (1 - SAME_DOSE)) | (doses > high * (1 + SAME_DOSE))
