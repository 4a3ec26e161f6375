"""In which space expression is: counts, logarithms, z scores; by one test for all doors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim._messages import warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    import scipy.sparse as sp

N_SAMPLED = 2_000
# The highest values of two panels of the same kind differ by less than this; raw counts and their
# logarithms, or logarithms and counts per ten thousand, by more.
MAX_RATIO = 8.0
MAX_COUNT_RATIO = 30.0
# A fifth of the values below zero: no accident of a batch correction.
MIN_NEGATIVE = 0.2
# Normalised to one total: log1p of counts per 10,000 is told from that per million by it.
MAX_SPREAD = 0.02
MAX_TOTAL_RATIO = 1.1


def describe_space(expression: np.ndarray | sp.spmatrix) -> dict[str, float]:
    """Summarise in which space expression is.

    Parameters
    ----------
    expression
        Cells x genes, dense, sparse or on disk; about 2,000 cells of it are looked at.

    Returns
    -------
    ``is_whole`` (0 or 1), ``negative`` (share of the values that are not 0), ``high`` (99th percentile of the absolute values that are
    not 0), ``total`` (median over cells), ``exp_total`` (median of the total after ``expm1``, where all
    cells share it, else 0).
    """
    step = max(1, expression.shape[0] // N_SAMPLED)
    rows = expression[::step]
    sample = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=np.float64)
    sample = sample[np.isfinite(sample).all(1)]
    values = np.abs(sample[sample != 0])
    return {
        "is_whole": float((sample == np.round(sample)).all()),
        "negative": float((sample < 0).sum() / max(1, len(values))),
        "high": float(np.quantile(values, 0.99)) if len(values) else 0.0,
        "total": float(np.median(sample.sum(1))) if len(sample) else 0.0,
        "exp_total": _shared_exp_total(sample),
    }


def _shared_exp_total(sample: np.ndarray) -> float:
    """Total that all cells have before their logarithm was taken; 0 where they share none."""
    with np.errstate(over="ignore"):
        totals = np.expm1(sample).sum(1)
    middle = float(np.median(totals)) if len(totals) > 1 else 0.0
    if not np.isfinite(totals).all() or middle <= 0:
        return 0.0
    return middle if np.abs(totals / middle - 1).max() < MAX_SPREAD else 0.0


def check_same_space(
    expression: np.ndarray | sp.spmatrix,
    trained: Mapping[str, float],
    *,
    is_count: bool,
    place: str,
) -> None:
    """Raise where expression is in another space than that of training.

    Parameters
    ----------
    expression
        Cells x genes.
    trained
        What :func:`describe_space` said of training.
    is_count
        Whether the likelihood is one of counts, whose own test (whole numbers) comes before this.
    place
        Where the expression is, as the user would write it.

    Raises
    ------
    ValueError
        When transformed expression has another range, another sign or another total.
    """
    found = describe_space(expression)
    if is_count:
        ratio = _ratio(found["total"], trained["total"])
        if ratio > MAX_COUNT_RATIO:
            warn(
                f"The cells in {place} have a median of {found['total']:.4g} counts, those of training "
                f"{trained['total']:.4g}. Are both raw counts of single cells? Sums over cells and "
                "counts per million are not."
            )
        return
    difference = _difference(found, trained)
    if difference:
        message = (
            f"{place} has {difference}, so it is not the kind of expression that the model was trained "
            "on. Transform it in the same way as the cells of training."
        )
        raise ValueError(message)


def _difference(found: Mapping[str, float], trained: Mapping[str, float]) -> str:
    """Say what tells two spaces apart, or nothing."""
    if found["high"] == 0 or trained["high"] == 0:
        return ""
    totals = found["exp_total"], trained["exp_total"]
    is_rescaled = min(totals) > 0 and _ratio(*totals) > MAX_TOTAL_RATIO
    differences = {
        "whole numbers only, as raw counts, where training had fractions": (
            found["is_whole"] > trained["is_whole"]
        ),
        "negative values, as z scores, where training had none": (
            found["negative"] > 0 and trained["negative"] == 0
        ),
        "no negative values, where training had them, as z scores do": (
            found["negative"] == 0 and trained["negative"] > MIN_NEGATIVE
        ),
        f"values up to {found['high']:.3g} (99th percentile), where training had up to "
        f"{trained['high']:.3g}": _ratio(found["high"], trained["high"]) > MAX_RATIO,
        f"logarithms of cells scaled to a total of {totals[0]:.4g}, where training had "
        f"{totals[1]:.4g}": is_rescaled,
    }
    return next((text for text, is_so in differences.items() if is_so), "")


def _ratio(left: float, right: float) -> float:
    low, high = sorted((left, right))
    return high / low if low > 0 else 1.0
