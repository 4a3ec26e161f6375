"""Groups of perturbations that a split must not tear apart."""

from __future__ import annotations

from typing import Literal

import pandas as pd
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import pairwise_distances

from scgim._messages import check_choice

LINKAGES = ("average", "single")


def tanimoto_groups(
    features: pd.DataFrame,
    *,
    threshold: float = 0.6,
    linkage: Literal["average", "single"] = "average",
) -> pd.Series:
    """Group perturbations whose fingerprints are alike.

    Parameters
    ----------
    features
        Bits, one row per perturbation.
    threshold
        Groups are merged while their Tanimoto distance (1 - similarity) is below it.
    linkage
        ``"average"``: distance between groups is the mean over their members. ``"single"``: that of
        the two most similar members, so that no two perturbations of different groups are closer
        than ``threshold``.

    Returns
    -------
    Number of the group of each perturbation.

    See Also
    --------
    split : Holds out whole groups with ``kind="group"``.

    Examples
    --------
    >>> import pandas as pd
    >>> bits = pd.DataFrame([[1, 1, 0], [1, 1, 1], [0, 0, 1]], index=["a", "b", "c"])
    >>> groups = tanimoto_groups(bits)
    >>> bool(groups["a"] == groups["b"]), bool(groups["a"] == groups["c"])
    (True, False)
    """
    check_choice("linkage", linkage, LINKAGES)
    distance = pairwise_distances(features.to_numpy(dtype=bool), metric="jaccard")
    clusters = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage=linkage, distance_threshold=threshold
    )
    index = features.index.astype(str)
    return pd.Series(clusters.fit_predict(distance), index=index, name="similar structure")
