import json
import re

import numpy as np
import pandas as pd
import pytest
import scvi
from rich.console import Console

from scgim.benchmark import _real_targets
from scgim.benchmark._real_graphs import GraphScores
from scgim.benchmark._real_targets import benchmark_targets
from scgim.model import GIM, GraphSearch


@pytest.fixture(scope="module")
def result(knock_outs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_real_targets.SCREENS, "hill", lambda: knock_outs)
        return benchmark_targets("hill", n_resamples=20)


def test_obvious_knock_outs_are_found_by_everything_signed(result):
    table = result.scores.set_index("method")
    assert table.loc["evidence", "average_precision"] == pytest.approx(1.0)
    assert table.loc["-z", "mrr"] == pytest.approx(1.0)
    assert len(table) == 14


def test_scores_behind_the_table_are_what_a_user_of_the_model_gets(knock_outs, result, monkeypatch):
    """The same numbers, gene by gene, as the evidence of a model that is trained by hand."""
    behind = {}
    monkeypatch.setitem(_real_targets.SCREENS, "hill", lambda: knock_outs)
    monkeypatch.setattr(
        _real_targets,
        "score_rankings",
        lambda rankings, *_args, **_options: behind.update(rankings) or result.scores,
    )
    benchmark_targets("hill", seed=3)
    screen = knock_outs[:, :5].copy()
    screen.obs["depth"] = np.maximum(screen.X.sum(axis=1), 1)
    monkeypatch.setattr(scvi.settings, "seed", 3)
    for name, direction in (("evidence", "lowers"), ("evidence, direction unknown", "unknown")):
        GIM.setup_anndata(
            screen,
            "perturbation",
            "control",
            size_factor_key="depth",
            perturbation_direction=direction,
        )
        model = GIM(screen, causal_space="genes")
        model.train(search=GraphSearch(n_restarts=4), enable_progress_bar=False)
        table = model.get_intervention_targets()
        evidence = table.pivot_table(index="perturbation", columns="node", values="evidence")
        np.testing.assert_array_equal(behind[name], evidence.to_numpy())


def test_number_of_splits_is_no_longer_asked_for(monkeypatch):
    found = GraphScores({"one": ({"z": np.eye(2)}, np.eye(2, dtype=bool))}, pd.DataFrame())
    monkeypatch.setitem(_real_targets.GRAPHS, "sachs", lambda: found)
    with pytest.warns(FutureWarning, match="`n_splits` is not used any more"):
        benchmark_targets("sachs", n_splits=20, n_resamples=2)


def test_gain_is_over_the_best_baseline(result):
    table = result.scores.set_index("method")
    baselines = table.drop(["evidence", "evidence, direction unknown", "residual", "probability"])
    assert baselines["gain"].max() == pytest.approx(0.0)


def test_result_is_printed_and_written(result, tmp_path):
    console = Console(record=True, width=120)
    result.print(console)
    assert "evidence" in console.export_text()
    result.write_json(tmp_path / "targets.json")
    document = json.loads((tmp_path / "targets.json").read_text())
    assert document["screen"] == "hill"
    assert len(document["rankings"]) == 14
    assert document["edges"] == []


def test_unknown_screen_is_named():
    with pytest.raises(ValueError, match="`screen='dixit'` is not a choice"):
        benchmark_targets("dixit")


@pytest.mark.slow
def test_papalexi_bar_is_kept(real_data):
    table = benchmark_targets("papalexi", n_resamples=10).scores
    row = table[(table["n_genes"] == 60) & (table["method"] == "evidence")]
    assert row["average_precision"].item() >= 0.55
    assert row["mrr"].item() >= 0.88


# The screen has two groups of control cells that no column declares, and the set-up says so.
@pytest.mark.filterwarnings("ignore:Control cells fall into")
def test_hill_is_not_harmed(real_data):
    table = benchmark_targets("hill", n_resamples=10).scores.set_index("method")
    assert table.loc["evidence", "gain"] >= -0.02


def test_a_screen_of_your_own_is_read_from_a_file(knock_outs, result, tmp_path):
    knock_outs.write_h5ad(tmp_path / "mine.h5ad")
    own = benchmark_targets(str(tmp_path / "mine.h5ad"), n_resamples=20)
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
    rankings = {"three": ({"evidence": truth * 1.0, "-z": truth * 2.0}, truth)}
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
    result = benchmark_targets("papalexi", n_resamples=5)
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
