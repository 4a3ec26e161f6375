from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from scgim._types import FloatArray, IntArray


@dataclass(frozen=True)
class ConditionMeans:
    """Mean expression of each perturbation at each dose in each context, without cells.

    Attributes
    ----------
    label
        Perturbation code of each row, shape ``(n_rows,)``.
    dose
        Dose, same shape; NaN without doses.
    context
        Codes of batch and categorical covariates, shape ``(n_rows, 1 + n_categorical)``.
    n_cells
        Cells, shape ``(n_rows,)``.
    expression
        Mean log1p(CP10k) (mean expression for the normal likelihood), ``(n_rows, n_genes)``.
    """

    label: IntArray
    dose: FloatArray
    context: IntArray
    n_cells: np.ndarray
    expression: np.ndarray

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Rebuild what :meth:`to_dict` held."""
        return cls(**state)

    def to_dict(self) -> dict[str, Any]:
        """Hold the means as plain arrays."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def add(self, other: ConditionMeans) -> ConditionMeans:
        """Pool with the means of other cells.

        Parameters
        ----------
        other
            Means with the same codes.

        Returns
        -------
        Means of all cells.
        """
        joined = {
            name: np.concatenate([values, getattr(other, name)])
            for name, values in self.to_dict().items()
        }
        keys = condition_keys(joined["label"], joined["dose"], joined["context"])
        n_cells = joined["n_cells"][:, None]
        unique, totals = add_up(keys, np.hstack([joined["expression"] * n_cells, n_cells]))
        expression = (totals[:, :-1] / totals[:, -1:]).astype(np.float32)
        return ConditionMeans(**read_keys(unique), n_cells=totals[:, -1], expression=expression)


def condition_keys(label: IntArray, dose: FloatArray, context: IntArray) -> pd.MultiIndex:
    """Tell conditions in contexts apart: a key per row, of label, dose and codes of the context."""
    return pd.MultiIndex.from_arrays([label, dose, *context.T])


def read_keys(keys: pd.MultiIndex) -> dict[str, Any]:
    """Read label, dose and context from what :func:`condition_keys` made."""
    levels = [keys.get_level_values(level).to_numpy() for level in range(keys.nlevels)]
    return {
        "label": levels[0].astype(np.int64),
        "dose": levels[1].astype(np.float64),
        "context": np.stack(levels[2:], axis=1).astype(np.int64),
    }


def add_up(keys: pd.MultiIndex, rows: np.ndarray) -> tuple[pd.MultiIndex, np.ndarray]:
    """Distinct keys, and the sum of the rows of each.

    Parameters
    ----------
    keys
        Key of each row.
    rows
        What is added up, shape ``(n_rows, n_columns)``.

    Returns
    -------
    Keys in the order of their first row, and sums in their order.
    """
    codes, unique = pd.factorize(keys)
    totals = np.zeros((len(unique), rows.shape[1]))
    np.add.at(totals, codes, rows)
    return unique, totals


def to_log10(dose: FloatArray) -> FloatArray:
    """Log of doses; minus infinity at dose zero, infinity, which is saturation, without doses."""
    with np.errstate(divide="ignore"):
        return np.where(np.isnan(dose), np.inf, np.log10(dose))
