import numpy as np
import pytest
import scipy.sparse as sp

from scgim.data._expression_space import check_same_space, describe_space

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(RNG.lognormal(0, 1, 40) * 3, (200, 40)).astype(np.float32)


def scaled(total):
    return COUNTS / COUNTS.sum(1, keepdims=True) * total


SPACES = {
    "log1p(CP10k)": np.log1p(scaled(1e4)),
    "log1p(CPM)": np.log1p(scaled(1e6)),
    "CP10k": scaled(1e4),
    "counts": COUNTS,
    "z scores": (COUNTS - COUNTS.mean(0)) / COUNTS.std(0),
}


@pytest.mark.parametrize("trained", ["log1p(CP10k)", "log1p(CPM)", "z scores", "CP10k"])
@pytest.mark.parametrize("found", list(SPACES))
def test_each_space_is_told_from_the_others_and_from_itself_it_is_not(trained, found):
    known = describe_space(SPACES[trained][:150])
    new = sp.csr_matrix(SPACES[found][150:])
    if trained == found:
        check_same_space(new, known, is_count=False, place="`adata.X`")
        return
    with pytest.raises(ValueError, match=r"^`adata.X` has .*, so it is not the kind of expression"):
        check_same_space(new, known, is_count=False, place="`adata.X`")


def test_few_cells_of_another_plate_are_of_the_same_space():
    known = describe_space(SPACES["log1p(CP10k)"])
    half = COUNTS[:3] * (RNG.random((3, 40)) < 0.5)
    check_same_space(
        np.log1p(half * 1e4 / half.sum(1, keepdims=True)), known, is_count=False, place="X"
    )


def test_counts_of_another_depth_are_accepted_and_sums_over_cells_warned_of(recwarn):
    known = describe_space(COUNTS)
    check_same_space(COUNTS * 5, known, is_count=True, place="`adata.X`")
    assert not recwarn
    with pytest.warns(UserWarning, match="Sums over cells"):
        check_same_space(COUNTS * 100, known, is_count=True, place="`adata.X`")


def test_nothing_at_all_is_no_other_space():
    known = describe_space(SPACES["log1p(CP10k)"])
    check_same_space(np.zeros((3, 40)), known, is_count=False, place="`adata.X`")
