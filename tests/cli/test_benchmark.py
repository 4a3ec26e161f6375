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

    def run(seeds, *, scenario, console):
        asked.append((seeds, scenario))
        return result

    monkeypatch.setattr(_benchmark, "benchmark_programs", run)
    _benchmark.run_programs([1, 2], "tanh", tmp_path / "f.json", Console(quiet=True))
    assert asked == [([1, 2], "tanh")]
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
