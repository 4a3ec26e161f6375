import json
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from scgim.benchmark import _real_targets
from scgim.benchmark._real_graphs import GraphScores
from scgim.benchmark._real_targets import benchmark_targets


@pytest.fixture(scope="module")
def result(knock_outs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_real_targets.SCREENS, "hill", lambda: knock_outs)
        return benchmark_targets("hill", n_splits=2, n_resamples=20)


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
    document = json.loads((tmp_path / "targets.json").read_text())
    assert document["screen"] == "hill"
    assert len(document["rankings"]) == 13
    assert document["edges"] == []


def test_unknown_screen_is_named():
    with pytest.raises(ValueError, match="`screen='dixit'` is not a choice"):
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


def test_a_screen_of_your_own_is_read_from_a_file(knock_outs, result, tmp_path):
    knock_outs.write_h5ad(tmp_path / "mine.h5ad")
    own = benchmark_targets(str(tmp_path / "mine.h5ad"), n_splits=2, n_resamples=20)
    assert own.screen == "mine"
    assert own.scores["panel"].unique().tolist() == ["5 genes"]
    left = own.scores.set_index("method")["average_precision"]
    right = result.scores.set_index("method")["average_precision"]
    assert left.to_dict() == pytest.approx(right.to_dict())


def test_screens_with_a_graph_are_scored_and_printed(monkeypatch, tmp_path):
    edges = pd.DataFrame(
        [
            {
                "graph": "one",
                "method": "search",
                "average_precision": 0.5,
                "edge_f1": 0.4,
                "shd": 3,
            },
            {"graph": "one", "method": "correlation", "average_precision": 0.2},
        ]
    ).assign(chance=0.1)
    truth = np.eye(3, dtype=bool)
    rankings = {"three": ({"combined": truth * 1.0, "-z": truth * 2.0}, truth)}
    monkeypatch.setitem(
        _real_targets.GRAPHS, "sachs", lambda: GraphScores(rankings=rankings, edges=edges)
    )
    result = benchmark_targets("sachs", n_resamples=5)
    assert (result.scores["average_precision"] == 1.0).all()
    console = Console(record=True, width=120)
    result.print(console)
    assert "correlation" in console.export_text()
    result.write_json(tmp_path / "sachs.json")
    assert json.loads((tmp_path / "sachs.json").read_text())["edges"][1]["shd"] is None


def test_left_out_effects_are_part_of_a_screen_that_asks_for_them(monkeypatch, knock_outs):
    monkeypatch.setitem(_real_targets.SCREENS, "papalexi", lambda: knock_outs)
    monkeypatch.setitem(_real_targets.PANELS, "papalexi", (5,))
    monkeypatch.setitem(_real_targets.LEFT_OUT_PANEL, "papalexi", 5)
    result = benchmark_targets("papalexi", n_splits=2, n_resamples=5)
    assert "causal graph" in set(result.left_out_effects["method"])
    console = Console(record=True, width=120)
    result.print(console)
    assert "R²" in console.export_text()


def test_a_screen_without_known_targets_is_refused():
    message = (
        "The screen 'mine.h5ad' has no obs['is_control'], uns['known_targets'], but a benchmark of "
        "targets reads the perturbation of each cell, which cells are control, and the known targets "
        "(columns `perturbation` and `target`). Add them."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _real_targets.check_target_screen("mine.h5ad", ["perturbation"], [])
    _real_targets.check_target_screen(
        "mine.h5ad", ["perturbation", "is_control"], ["known_targets"]
    )
