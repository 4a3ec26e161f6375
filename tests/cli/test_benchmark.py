from types import SimpleNamespace

import pytest
from rich.console import Console

from scgim.cli import _benchmark


@pytest.fixture
def result():
    """A result that remembers what was done with it."""
    done = []
    return SimpleNamespace(
        done=done,
        print=lambda console: done.append("printed"),
        write_json=done.append,
    )


def test_programs_are_run_printed_and_written(monkeypatch, result, tmp_path):
    asked = []

    def run(seeds, *, scenario, split, console):
        asked.append((seeds, scenario, split))
        return result

    monkeypatch.setattr(_benchmark, "benchmark_programs", run)
    _benchmark.run_programs([1, 2], "tanh", "class", tmp_path / "f.json", Console(quiet=True))
    assert asked == [([1, 2], "tanh", "class")]
    assert result.done == ["printed", tmp_path / "f.json"]


def test_speed_is_printed_and_written_only_where_asked(monkeypatch, result):
    asked = []

    def run(n_cells, *, console):
        asked.append(n_cells)
        return result

    monkeypatch.setattr(_benchmark, "benchmark_speed", run)
    _benchmark.run_speed([100, 200], None, Console(quiet=True))
    assert asked == [[100, 200]]
    assert result.done == ["printed"]


def test_genes_are_run_in_the_variant_asked_for(monkeypatch, result, tmp_path):
    asked = []

    def run(seeds, *, settings, console):
        asked.append((seeds, settings))
        return result

    monkeypatch.setattr(_benchmark, "benchmark_genes", run)
    world = {"graph": "sf2", "n_nodes": 8}
    _benchmark.run_genes([3], world, "gradient", tmp_path / "f.json", Console(quiet=True))
    _benchmark.run_genes([4], {}, "search", None, Console(quiet=True))
    assert [seeds for seeds, _ in asked] == [[3], [4]]
    assert (asked[0][1].world.graph, asked[0][1].world.n_nodes) == ("sf2", 8)
    assert [settings.structures for _, settings in asked] == [("search", "gradient"), ("search",)]
    assert result.done == ["printed", tmp_path / "f.json", "printed"]


def test_targets_are_run_printed_and_written(monkeypatch, result, tmp_path):
    asked = []

    def run(screen, *, seed):
        asked.append((screen, seed))
        return result

    monkeypatch.setattr(_benchmark, "benchmark_targets", run)
    _benchmark.run_targets("hill", 2, tmp_path / "f.json", Console(quiet=True))
    assert asked == [("hill", 2)]
    assert result.done == ["printed", tmp_path / "f.json"]


def test_a_real_screen_is_run_printed_written_and_drawn_where_asked(monkeypatch, result, tmp_path):
    asked = []

    def run(screen, seeds):
        asked.append((screen, seeds))
        return result

    result.write_figure = result.done.append
    monkeypatch.setattr(_benchmark, "benchmark_real", run)
    console = Console(quiet=True)
    _benchmark.run_real("papalexi", [1], None, None, console)
    _benchmark.run_real("sciplex2", [2], tmp_path / "f.json", tmp_path / "f.png", console)
    assert asked == [("papalexi", [1]), ("sciplex2", [2])]
    assert result.done == ["printed", "printed", tmp_path / "f.json", tmp_path / "f.png"]


def test_chemistry_is_run_with_its_options(monkeypatch, result, tmp_path):
    asked = []

    def run(seeds, *, split, features, settings, console):
        del console
        asked.append((seeds, split, features, settings.n_folds))
        return result

    monkeypatch.setattr(_benchmark, "benchmark_chemistry", run)
    path = tmp_path / "c.json"
    _benchmark.run_chemistry([1], "scaffold", ["structure"], 2, path, Console(quiet=True))
    assert asked == [([1], "scaffold", ["structure"], 2)]
    assert result.done == ["printed", path]
