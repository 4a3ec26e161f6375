import json

import numpy as np
import pytest
from rich.console import Console

from scgim.benchmark._genes import GenesSettings, benchmark_genes
from scgim.datasets import GenesWorld
from scgim.scm.structure._structure_gradient import GradientSettings
from scgim.scm.structure._structure_search import SearchSettings

SMALL = GenesWorld(n_nodes=6, n_drugs=14, n_unseen=5, n_control=300, n_cells=30)


def settings(**options):
    return GenesSettings(
        world=SMALL,
        search=SearchSettings(n_restarts=4),
        gradient=GradientSettings(n_steps=20),
        **options,
    )


@pytest.fixture(scope="module")
def result():
    return benchmark_genes([0], settings=settings(structures=("search", "gradient")))


def value(result, predictor, metric, split=""):
    table = result.scores
    row = table[
        (table["predictor"] == predictor) & (table["metric"] == metric) & (table["split"] == split)
    ]
    return row["value"].item()


def test_search_comes_near_the_oracle_and_beats_no_effect(result):
    search = value(result, "search", "mean error", "new_dose")
    assert search < 0.3 * value(result, "no effect", "mean error", "new_dose")
    oracle = value(result, "oracle graph and targets", "mean error", "new_dose")
    assert search < 1.3 * oracle


def test_all_predictors_are_scored_on_all_splits(result):
    errors = result.scores[result.scores["metric"] == "mean error"]
    assert errors["predictor"].nunique() == 7
    assert (errors.groupby("predictor")["split"].nunique() == 3).all()
    assert np.isfinite(result.scores["value"]).all()


def test_both_ways_to_find_the_graph_are_in_the_same_table(result):
    for predictor in ("search", "gradient (as published)"):
        assert 0 <= value(result, predictor, "edge F1") <= 1
        assert 0 <= value(result, predictor, "target average precision", "training") <= 1


def test_result_is_printed_and_written(result, tmp_path):
    console = Console(record=True, width=200)
    result.print(console)
    assert "structural Hamming distance" in console.export_text()
    result.write_json(tmp_path / "genes.json")
    document = json.loads((tmp_path / "genes.json").read_text())
    assert document["benchmark"] == "genes"
    assert document["settings"]["world"]["n_nodes"] == 6
    assert {row["figure"] for row in document["figures"]} >= {"edge F1", "mean error, new dose"}


def test_gradient_is_refused_where_it_was_not_written_for():
    world = GenesWorld(mechanism="mlp")
    with pytest.raises(ValueError, match=r"'gradient', but the world has `mechanism='mlp'`"):
        benchmark_genes([0], settings=GenesSettings(world=world, structures=("gradient",)))


def test_causal_predictors_are_scored_as_distributions_too(result):
    for predictor in ("search", "gradient (as published)", "oracle graph and targets"):
        distance = value(result, predictor, "sliced Wasserstein distance", "new_dose")
        assert 0 < distance < 2
    search = value(result, "search", "nats per cell", "new_dose")
    assert search < value(result, "gradient (as published)", "nats per cell", "new_dose")
    assert value(result, "search", "structural intervention distance") <= 30


def test_reliability_of_edges_and_targets_is_part_of_the_result(result):
    counts = result.reliability.groupby("what")["n"].sum()
    assert counts.to_dict() == {"edges": 30, "targets": 14 * 6}


def test_no_seed_is_refused():
    with pytest.raises(ValueError, match="number of seeds"):
        benchmark_genes([])
