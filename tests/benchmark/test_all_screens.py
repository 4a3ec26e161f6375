import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from fixtures.models import make_screen

from scgim.benchmark import _all_screens, benchmark_all_screens
from scgim.benchmark._all_screens import EFFECTS, METRICS, RUNS, RealRun, _draw, _verdict
from scgim.evaluation import ScreenKeys

KEYS = ScreenKeys("drug", "vehicle", "dose", "drug_features")


def effects():
    rng = np.random.default_rng(0)
    names = [f"drug_{i}" for i in range(12)]
    table = AnnData(
        rng.normal(size=(12, 20)), obs=pd.DataFrame({"perturbation": names}, index=names)
    )
    table.uns["drug_features"] = pd.DataFrame(rng.normal(size=(12, 3)), index=names)
    table.uns["drug_features"].columns = ["x", "y", "z"]
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    names = [f"drug_{letter}" for letter in "abcdefgh"]
    screen = make_screen(drugs=names, combination=False, n_cells=8)
    features = pd.DataFrame(
        np.random.default_rng(1).normal(size=(8, 3)), index=names, columns=["x", "y", "z"]
    )
    screen.uns["drug_features"] = features
    screen.write_h5ad(folder / "small.h5ad")
    effects().write_h5ad(folder / "effects.h5ad")
    return folder


@pytest.fixture
def small_runs(folder, monkeypatch):
    monkeypatch.setenv("SCGIM_DATA", str(folder))
    runs = {
        "small_dose": RealRun("small.h5ad", "interior_dose", (0,), KEYS),
        "small_effects": RealRun("effects.h5ad", EFFECTS, (0,), ScreenKeys(context=None)),
        "absent": RealRun("absent.h5ad", "perturbation", (0,), KEYS),
    }
    monkeypatch.setattr(_all_screens, "RUNS", runs)


def test_runs_are_scored_written_and_not_repeated(small_runs, tmp_path, monkeypatch):
    result = benchmark_all_screens(tmp_path, max_epochs=2)
    assert {path.name for path in tmp_path.iterdir()} == {
        "small_dose_seed0.json",
        "small_effects_seed0.json",
    }
    assert {"GIM", "no effect", "dose interpolation"} <= set(
        result.comparison().loc["small_dose"].index
    )
    assert np.isfinite(result.comparison().loc[("small_effects", "GIM"), "r2"])
    differences = result.tables["differences"]
    assert set(differences["run"]) == {"small_dose"}
    assert np.isfinite(differences["difference"]).all()
    assert result.claims == ["No screen has enough held-out perturbations for an interval."]
    result.write_json(tmp_path / "all.json")
    assert json.loads((tmp_path / "all.json").read_text())["differences"]

    def never(*_):
        raise AssertionError

    monkeypatch.setattr(_all_screens, "_score_screen", never)
    monkeypatch.setattr(_all_screens, "_score_effects", never)
    again = benchmark_all_screens(tmp_path, max_epochs=2)
    pd.testing.assert_frame_equal(again.comparison(), result.comparison())


def test_the_verdict_counts_runs_and_the_figure_has_a_row_for_each(tmp_path):
    rows = [
        ("one", METRICS[0], 0.1, 0.05, 0.2),
        ("one", METRICS[1], -0.1, -0.2, -0.05),
        ("two", METRICS[0], 0.0, -0.1, 0.1),
        ("two", METRICS[1], 0.0, np.nan, np.nan),
    ]
    columns = ["run", "metric", "difference", "lower", "upper"]
    table = pd.DataFrame(rows, columns=columns).assign(seed=0, baseline="ridge")
    assert "ahead on 1, level on 1 and behind on 1 of 3" in _verdict(table)
    _draw(table, tmp_path / "forest.png")
    assert (tmp_path / "forest.png").stat().st_size > 1000


def test_an_unknown_run_is_refused(small_runs, tmp_path):
    with pytest.raises(ValueError, match="is not a choice"):
        benchmark_all_screens(tmp_path, names=["smal_dose"])


def test_every_run_says_what_it_needs():
    for run in RUNS.values():
        assert run.file.endswith(".h5ad")
        assert len(set(run.seeds)) == len(run.seeds)
