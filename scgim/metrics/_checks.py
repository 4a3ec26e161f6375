"""Checks on the arrays that metrics compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_same_shape(**arrays: NDArray[np.generic]) -> None:
    """Raise unless arrays have one shape.

    Parameters
    ----------
    **arrays
        Arrays by the name of the argument that they came from.
    """
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"`{name}` {shape}" for name, shape in shapes.items())
        msg = f"The arrays differ in shape: {found}. Align their rows and columns first."
        raise ValueError(msg)


def check_same_columns(**arrays: NDArray[np.generic]) -> None:
    """Raise unless arrays are cells x the same number of columns, with at least one cell.

    Parameters
    ----------
    **arrays
        Arrays by the name of the argument that they came from.
    """
    for name, array in arrays.items():
        if array.ndim != 2 or len(array) == 0:
            msg = (
                f"`{name}` has shape {array.shape}, but cells x columns with at least one cell is "
                "expected. Pass a matrix with one row per cell."
            )
            raise ValueError(msg)
    columns = {name: array.shape[1] for name, array in arrays.items()}
    if len(set(columns.values())) > 1:
        found = ", ".join(f"`{name}` {number}" for name, number in columns.items())
        msg = f"The arrays differ in their number of columns: {found}. Use the same genes for all."
        raise ValueError(msg)


def check_finite(**arrays: NDArray[np.generic]) -> None:
    """Raise if an array has missing or infinite values.

    Parameters
    ----------
    **arrays
        Arrays by the name of the argument that they came from.
    """
    for name, array in arrays.items():
        n_bad = int(np.size(array) - np.isfinite(array).sum())
        if n_bad:
            msg = (
                f"`{name}` has {n_bad} values that are NaN or infinite. "
                "Scores of such values mean nothing: remove or repair them first."
            )
            raise ValueError(msg)


def check_several_cells(**arrays: NDArray[np.generic]) -> None:
    """Raise unless there are at least two cells on each side, so that they can vary.

    Parameters
    ----------
    **arrays
        Cells x columns by the name of the argument that they came from.
    """
    for name, array in arrays.items():
        if len(array) < 2:
            msg = (
                f"`{name}` has 1 cell, but variation over cells needs at least 2. "
                "Pass more cells, or leave out this condition."
            )
            raise ValueError(msg)


def check_has_positives(name: str, labels: NDArray[np.bool_]) -> None:
    """Raise if nothing is labelled true, so that precision is undefined.

    Parameters
    ----------
    name
        Name of the argument.
    labels
        True where something is to be found.
    """
    if not labels.any():
        msg = (
            f"`{name}` is true nowhere, so there is nothing to find and precision is undefined. "
            "Score only cases where the truth has at least one entry."
        )
        raise ValueError(msg)


def check_distance_range(replicate: float, control: float) -> None:
    """Raise if the control is not further from the truth than a replicate is.

    Parameters
    ----------
    replicate
        Distance of a replicate from the truth.
    control
        Distance of the control from the truth.
    """
    if control <= replicate:
        msg = (
            f"The control is no further from the truth ({control:.4g}) than a replicate is "
            f"({replicate:.4g}), so there is no effect to normalise by. Leave out this condition."
        )
        raise ValueError(msg)
