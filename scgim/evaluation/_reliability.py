"""Called probabilities beside the share that is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    _Called = tuple[NDArray[np.float64], NDArray[np.bool_]]


def compute_reliability(called: Iterable[_Called], n_bins: int = 10) -> pd.DataFrame:
    """Compare called probabilities with what is true.

    Parameters
    ----------
    called
        Pairs of probabilities and truth, of any equal shapes.
    n_bins
        Bins of equal width between 0 and 1.

    Returns
    -------
    One row per bin that is not empty: mean ``probability``, true ``share`` and count ``n``.
    """
    pairs = list(called)
    if not pairs:
        return pd.DataFrame({"probability": [], "share": [], "n": []})
    table = pd.DataFrame(
        {
            "probability": np.concatenate([probability.ravel() for probability, _ in pairs]),
            "share": np.concatenate([true.ravel() for _, true in pairs]).astype(float),
        }
    )
    index = np.minimum((table["probability"] * n_bins).astype(int), n_bins - 1)
    grouped = table.groupby(index)
    return grouped.mean().assign(n=grouped.size()).reset_index(drop=True)
