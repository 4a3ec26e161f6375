import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from scgim.evaluation._held_out_cells import (
    HeldOutCells,
    check_disjoint_controls,
    check_held_out_cells,
    describe_conditions,
    divide_controls,
    moments_of,
)
from scgim.evaluation._training_screen import ScreenKeys, TrainingScreen, log_normalize

KEYS = ScreenKeys("drug", "control", dose="dose", features=None, context="line")


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    rows = [("control", 0.0, line) for line in ("one", "two") for _ in range(8)]
    rows += [(drug, 1.0, line) for drug in "BA" for line in ("two", "one") for _ in range(5)]
    obs = pd.DataFrame(rows, columns=["drug", "dose", "line"]).set_index(
        pd.RangeIndex(len(rows)).astype(str)
    )
    counts = rng.poisson(5.0, (len(rows), 6)).astype(np.float32)
    return ad.AnnData(counts, obs=obs)


@pytest.fixture
def truth(adata):
    is_reference = divide_controls(adata, KEYS, seed=0)
    is_held_out = (adata.obs["drug"] == "B").to_numpy()
    screen = TrainingScreen(adata[~is_held_out & ~is_reference].copy(), KEYS)
    return HeldOutCells.of(adata[is_held_out], adata[is_reference], screen)


def test_half_of_the_controls_of_each_context_is_put_aside(adata):
    is_reference = divide_controls(adata, KEYS, seed=0)
    assert adata.obs.loc[is_reference, "line"].value_counts().to_dict() == {"one": 4, "two": 4}
    assert (adata.obs.loc[is_reference, "drug"] == "control").all()
    np.testing.assert_array_equal(is_reference, divide_controls(adata, KEYS, seed=0))
    assert (is_reference != divide_controls(adata, KEYS, seed=1)).any()


def test_too_few_controls_to_divide_are_named_with_their_context(adata):
    kept = (adata.obs["drug"] != "control") | (adata.obs["line"] == "one")
    kept |= pd.RangeIndex(adata.n_obs).astype(str).isin(["9", "10", "11"])
    with pytest.raises(ValueError, match="has 3 control cells in the context 'two'"):
        divide_controls(adata[kept.to_numpy()].copy(), KEYS, seed=0)


def test_cells_are_sorted_by_condition(truth, adata):
    assert truth.labels == ["B, 1, one", "B, 1, two"]
    cells = adata[((adata.obs["drug"] == "B") & (adata.obs["line"] == "one")).to_numpy()]
    np.testing.assert_allclose(truth.cells_of(0), log_normalize(cells.X))


def test_shift_and_its_error_are_those_of_the_context(truth):
    control = truth.control_cells["two"]
    cells = truth.cells_of(1)
    np.testing.assert_allclose(
        truth.shift[1], cells.mean(axis=0) - control.mean(axis=0), rtol=1e-4, atol=1e-5
    )
    expected = np.sqrt(cells.var(axis=0, ddof=1) / 5 + control.var(axis=0, ddof=1) / 4)
    np.testing.assert_allclose(truth.standard_error[1], expected, rtol=1e-4)
    statistic = ttest_ind(cells, control, equal_var=False).statistic
    np.testing.assert_allclose(truth.changed.statistic[1], statistic, rtol=1e-3)
    assert truth.weights.sum(axis=1) == pytest.approx(1.0)


def test_halves_share_no_cell_and_lose_none(truth):
    first, second = truth.halves(seed=0)
    names = [*first.cells.obs_names, *second.cells.obs_names]
    assert sorted(names) == sorted(truth.cells.obs_names)
    assert first.moments.n_cells.tolist() == [2, 2]
    assert second.moments.n_cells.tolist() == [3, 3]
    assert first.labels == second.labels == truth.labels


def test_moments_agree_with_numpy_and_one_cell_has_no_variance():
    groups = [np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32) for n in (4, 1)]
    moments = moments_of(groups)
    np.testing.assert_allclose(moments.mean[0], groups[0].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance[0], groups[0].var(axis=0, ddof=1), rtol=1e-5)
    assert np.isnan(moments.variance[1]).all()


def test_conditions_are_described_with_short_numbers():
    table = pd.DataFrame({"drug": ["A"], "dose": [0.30000000000000004]})
    assert describe_conditions(table) == ["A, 0.3"]


def test_too_few_control_cells_to_share_are_refused():
    message = (
        "`adata` has 3 control cells in the context 'A549', but at least 4 are needed: half of them for "
        "the predictors and the other half for the truth. With identical controls on both sides their "
        "shared noise counts as success. Add control cells."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_disjoint_controls("A549", 3)


def test_held_out_conditions_without_cells_are_named():
    message = (
        "1 held-out conditions have no cells in `adata`: 'A, dose 1'. Use the screen that the split "
        "was made for, or make a new split."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_held_out_cells(["A, dose 1"])
