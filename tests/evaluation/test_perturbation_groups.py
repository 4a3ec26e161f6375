import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import pairwise_distances

from scgim.evaluation import tanimoto_groups


def test_similar_fingerprints_fall_into_one_group():
    bits = pd.DataFrame([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 1, 1]], index=["a", "b", "c"])
    groups = tanimoto_groups(bits)
    assert groups["a"] == groups["b"] != groups["c"]


def test_single_linkage_keeps_every_similar_pair_together():
    bits = pd.DataFrame(np.random.default_rng(0).random((60, 12)) < 0.4)
    groups = tanimoto_groups(bits, threshold=0.4, linkage="single").to_numpy()
    distance = pairwise_distances(bits.to_numpy(), metric="jaccard")
    is_apart = groups[:, None] != groups
    assert is_apart.any()
    assert distance[is_apart].min() >= 0.4
    average = tanimoto_groups(bits, threshold=0.4).to_numpy()
    assert distance[average[:, None] != average].min() < 0.4


def test_unknown_linkage_is_named():
    with pytest.raises(ValueError, match="`linkage='ward'` is not a choice"):
        tanimoto_groups(pd.DataFrame([[1, 0], [0, 1]]), linkage="ward")
