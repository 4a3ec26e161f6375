import time
import tracemalloc
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scgim import metrics
from scgim.evaluation import ScreenKeys, Split, split
from scgim.evaluation._evaluate import prepare
from scgim.evaluation._scoring import (
    COVERAGE,
    DISCRIMINATION,
    ENERGY,
    METRICS,
    PEARSON,
    R2_CONTROL,
    R2_PERTURBED,
    RANK,
    WASSERSTEIN,
    WMSE,
    Prediction,
    Scorer,
    ScoringSettings,
)


@pytest.fixture(scope="module")
def scorer(small_world):
    adata = small_world.screen()
    settings = ScoringSettings(n_genes=20)
    return Scorer(*prepare(adata, split(adata, "perturbation", fraction=0.4), settings), settings)


@pytest.fixture
def perfect(scorer):
    truth = scorer.truth
    return Prediction(
        "truth",
        truth.shift,
        [""] * truth.n_conditions,
        lambda rows: [truth.cells_of(row) for row in rows],
        half_width=np.zeros_like(truth.shift),
    )


def values(scorer, prediction):
    table = scorer.score(prediction)
    return {name: rows["value"].to_numpy() for name, rows in table.groupby("metric")}


def test_every_metric_has_a_row_for_every_condition(scorer, perfect):
    table = scorer.score(perfect)
    assert len(table) == len(METRICS) * scorer.truth.n_conditions
    assert (table["value"].isna() == (table["reason"] != "")).all()


def test_the_truth_is_perfect(scorer, perfect):
    found = values(scorer, perfect)
    for name in (WMSE, RANK, ENERGY, WASSERSTEIN):
        np.testing.assert_allclose(found[name], 0.0, atol=1e-6)
    for name in (R2_CONTROL, R2_PERTURBED, PEARSON, COVERAGE, *DISCRIMINATION):
        np.testing.assert_allclose(found[name], 1.0)


def test_scores_are_those_of_the_metrics(scorer, perfect):
    rng = np.random.default_rng(0)
    truth = scorer.truth
    shift = truth.shift + 0.1 * rng.normal(size=truth.shift.shape)
    found = values(scorer, replace(perfect, shift=shift))
    expected = metrics.weighted_r2(shift, truth.shift, truth.weights)
    np.testing.assert_allclose(found[R2_CONTROL], expected)
    centroid = scorer.screen.shift.mean(axis=0)
    expected = metrics.shift_correlation(shift - centroid, truth.shift - centroid)
    np.testing.assert_allclose(found[PEARSON], expected)
    rows = np.flatnonzero(truth.plain["dose"] == truth.plain["dose"].max())
    expected = metrics.discrimination_score(shift[rows], truth.shift[rows], "l2")
    np.testing.assert_allclose(found["discrimination l2"][rows], expected)


def test_worse_than_a_constant_is_below_zero(scorer, perfect):
    found = values(scorer, replace(perfect, shift=-3 * scorer.truth.shift))
    np.testing.assert_allclose(found[R2_CONTROL], -15.0)


def test_coverage_allows_for_the_sampling_error_of_the_truth(scorer, perfect):
    truth = scorer.truth
    off_by_one_error = truth.shift + truth.standard_error
    found = values(scorer, replace(perfect, shift=off_by_one_error))
    np.testing.assert_allclose(found[COVERAGE], 1.0)
    found = values(scorer, replace(perfect, shift=truth.shift + 1.5 * truth.standard_error))
    assert found[COVERAGE].mean() < 0.05


def test_a_prediction_of_some_conditions_has_no_rank(scorer, perfect):
    why_not = ["no features", *perfect.why_not[1:]]
    table = scorer.score(replace(perfect, why_not=why_not)).query("metric == @RANK")
    assert table["reason"].iloc[0] == "no features"
    assert set(table["reason"].iloc[1:]) == {"it does not predict all conditions"}
    assert table["value"].isna().all()


def test_one_predicted_cell_has_no_distribution(scorer, perfect):
    one = replace(perfect, cells=lambda rows: [scorer.truth.cells_of(row)[:1] for row in rows])
    table = scorer.score(one).query("metric == @ENERGY")
    assert set(table["reason"]) == {"one predicted cell"}


def test_a_lone_perturbation_has_nothing_to_be_told_from(small_world):
    adata = small_world.screen()
    chosen = split(adata, "top_dose", fraction=0.05)
    settings = ScoringSettings(n_genes=20)
    scorer = Scorer(*prepare(adata, chosen, settings), settings)
    truth = scorer.truth
    alone = Prediction("truth", truth.shift, [""], lambda rows: [truth.cells_of(r) for r in rows])
    table = scorer.score(alone).query("metric == @RANK")
    assert table["reason"].tolist() == ["no other perturbation at this dose and context"]


def test_genes_and_components_do_not_change_with_the_held_out_cells(small_world):
    adata = small_world.screen()
    chosen, settings = split(adata, "perturbation", fraction=0.4), ScoringSettings(n_genes=20)
    scorers = []
    for factor in (1, 7):
        changed = adata.copy()
        changed.X = changed.X.toarray()
        held_out = chosen.is_held_out(changed)
        changed.X[held_out] = np.roll(changed.X[held_out], factor, axis=1)
        scorers.append(Scorer(*prepare(changed, chosen, settings), settings))
    first, second = scorers
    np.testing.assert_array_equal(first.moving_genes, second.moving_genes)
    np.testing.assert_array_equal(first.screen.pca.components_, second.screen.pca.components_)
    np.testing.assert_array_equal(first.perturbed_shift, second.perturbed_shift)


@pytest.mark.slow
def test_metrics_of_25000_cells_500_genes_and_750_conditions_take_seconds_and_little_memory():
    rng = np.random.default_rng(0)
    design = [("vehicle", 0.0)] * 1000 + [
        (f"drug {i}", dose) for i in range(200) for dose in (1, 10, 100, 1000) for _ in range(30)
    ]
    obs = pd.DataFrame(design, columns=["drug", "dose"])
    mean = rng.lognormal(7, 0.3, (len(obs), 1)) * rng.dirichlet(np.full(500, 0.5))
    counts = sp.csr_matrix(rng.poisson(mean).astype(np.float32))
    adata = ad.AnnData(counts, obs=obs.set_axis(obs.index.astype(str)))
    held_out = obs[1000:].drop_duplicates().reset_index(drop=True)[:750]
    keys = ScreenKeys(features=None)
    settings = ScoringSettings()
    tracemalloc.start()
    start = time.process_time()
    screen, truth = prepare(adata, Split("perturbation", 0, keys, None, held_out), settings)
    shift = truth.shift + rng.normal(size=truth.shift.shape)
    prediction = Prediction(
        "noisy truth",
        shift,
        [""] * truth.n_conditions,
        lambda rows: [truth.cells_of(row) + 0.1 for row in rows],
        half_width=np.ones_like(shift),
    )
    table = Scorer(screen, truth, settings).score(prediction)
    seconds = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert adata.shape == (25000, 500)
    assert truth.n_conditions == 750
    assert table.query("metric == 'energy distance'")["value"].notna().all()
    assert seconds < 120
    assert peak < 4e9
