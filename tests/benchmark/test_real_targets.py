import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from scgim.benchmark import _real_targets
from scgim.benchmark._real_targets import (
    benchmark_targets,
    score_rankings,
    select_panel,
    to_count_screen,
)


@pytest.fixture(scope="module")
def screen():
    """Knock-outs of the first three of six genes, whose counts fall to a third."""
    rng = np.random.default_rng(0)
    label = np.repeat(["control", "gene_0", "gene_1", "gene_2"], [400, 80, 80, 80])
    rate = np.tile(np.array([4.0, 5.0, 6.0, 2.0, 3.0, 0.0]), (640, 1))
    for gene in range(3):
        rate[label == f"gene_{gene}", gene] /= 3
    genes = [f"gene_{gene}" for gene in range(6)]
    adata = ad.AnnData(
        rng.poisson(rate).astype(np.float32),
        obs=pd.DataFrame(
            {"perturbation": label, "is_control": label == "control"},
            index=[f"cell_{cell}" for cell in range(640)],
        ),
        var=pd.DataFrame(index=genes),
    )
    adata.uns["known_targets"] = pd.DataFrame({"perturbation": genes[:3], "target": genes[:3]})
    return adata


@pytest.fixture(scope="module")
def result(screen):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_real_targets.SCREENS, "hill", lambda: screen)
        return benchmark_targets("hill", n_splits=2, n_resamples=20)


def test_panel_has_all_known_targets_and_no_gene_without_counts(screen):
    assert select_panel(screen, None).tolist() == [0, 1, 2, 3, 4]
    assert select_panel(screen, 1).tolist() == [0, 1, 2]


def test_perturbations_are_coded_and_controls_are_minus_one(screen):
    counts, names = to_count_screen(screen, np.arange(5))
    assert names == ["gene_0", "gene_1", "gene_2"]
    assert (counts.perturbation[:400] == -1).all()
    assert counts.perturbation[-1] == 2
    assert np.median(counts.size_factor) == pytest.approx(1.0)


def test_obvious_knock_outs_are_found_by_everything_signed(result):
    table = result.scores.set_index("method")
    assert table.loc["combined", "average_precision"] == pytest.approx(1.0)
    assert table.loc["-z", "mrr"] == pytest.approx(1.0)
    assert len(table) == 13


def test_gain_is_over_the_best_baseline(result):
    table = result.scores.set_index("method")
    baselines = table.drop(["combined", "residual", "combined, unsigned"])
    assert baselines["gain"].max() == pytest.approx(0.0)


def test_result_is_printed_and_written(result, tmp_path):
    console = Console(record=True, width=120)
    result.print(console)
    assert "combined" in console.export_text()
    result.write_json(tmp_path / "targets.json")
    assert json.loads((tmp_path / "targets.json").read_text())["screen"] == "hill"


def test_ranks_of_ties_are_in_the_middle():
    is_target = np.array([[True, False, False, False]])
    table = score_rankings(
        {"flat": np.zeros((1, 4)), "right": np.array([[1.0, 0, 0, 0]])},
        is_target,
        np.random.default_rng(0),
        n_resamples=5,
    ).set_index("method")
    assert table.loc["flat", "mrr"] == pytest.approx(1 / 2.5)
    assert table.loc["right", "recall_at_1"] == 1.0


def test_unknown_screen_is_named():
    with pytest.raises(ValueError, match="`screen='dixit'` is not known"):
        benchmark_targets("dixit")


@pytest.mark.slow
def test_papalexi_bar_is_kept(real_data):
    table = benchmark_targets("papalexi", n_resamples=10).scores
    row = table[(table["n_genes"] == 60) & (table["method"] == "combined")]
    assert row["average_precision"].item() >= 0.55
    assert row["mrr"].item() >= 0.88


def test_hill_is_not_harmed(real_data):
    table = benchmark_targets("hill", n_resamples=10).scores.set_index("method")
    assert table.loc["combined", "gain"] >= -0.02
