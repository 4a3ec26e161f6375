import sys
from importlib.metadata import version
from typing import get_args, get_type_hints

import pytest

from scgim.cli import main
from scgim.cli._app import fit
from scgim.module import GeneLikelihood


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def test_version_is_printed(capsys):
    assert _run(capsys, "--version") == (0, f"scgim {version('scgim')}\n", "")


def test_help_names_every_command(capsys):
    code, out, _ = _run(capsys, "--help")
    assert code == 0
    for command in ("demo", "fit", "predict", "benchmark"):
        assert command in out


def test_fit_offers_every_likelihood():
    assert get_type_hints(fit)["likelihood"] == GeneLikelihood
    assert get_args(get_type_hints(fit)["likelihood"]) == get_args(GeneLikelihood)


def test_missing_file_is_named(capsys):
    options = ("--perturbation", "drug", "--control", "vehicle")
    for arguments in (("fit", "nowhere.h5ad", *options), ("predict", "nowhere", "c.csv")):
        code, _, err = _run(capsys, *arguments)
        assert code == 2
        assert "nowhere" in err


def test_missing_option_is_named(capsys, tmp_path):
    (tmp_path / "screen.h5ad").touch()
    code, _, err = _run(capsys, "fit", str(tmp_path / "screen.h5ad"), "--control", "vehicle")
    assert code == 2
    assert "--perturbation" in err


def test_unknown_scenario_is_refused_with_the_choices(capsys):
    code, _, err = _run(capsys, "benchmark", "programs", "--scenario", "quadratic")
    assert code == 2
    assert "linear" in err


@pytest.fixture
def asked(monkeypatch):
    """What the benchmark was asked for, without running it."""
    calls = []

    class _Fake:
        @staticmethod
        def run_programs(*arguments):
            calls.append(arguments[:4])

        @staticmethod
        def run_genes(*arguments):
            calls.append(arguments[:4])

        @staticmethod
        def run_targets(*arguments):
            calls.append(arguments[:3])

        @staticmethod
        def run_speed(*arguments):
            calls.append(arguments[:2])

    monkeypatch.setitem(sys.modules, "scgim.cli._benchmark", _Fake)
    return calls


def test_seeds_are_written_as_in_the_documentation(capsys, asked):
    code, _, _ = _run(capsys, "benchmark", "programs", "--seeds", "10", "11", "12", "13", "14")
    assert code == 0
    assert asked == [([10, 11, 12, 13, 14], "linear", "conditions", None)]


def test_benchmark_takes_scenario_and_file(capsys, asked, tmp_path):
    file = tmp_path / "scores.json"
    _run(
        capsys,
        "benchmark",
        "programs",
        "--scenario",
        "hard",
        "--split",
        "class",
        "--json",
        str(file),
    )
    _run(capsys, "benchmark", "speed", "--cells", "10", "20", "--json", str(file))
    assert asked == [([1, 2, 3], "hard", "class", file), ([10, 20], file)]


def test_genes_benchmark_takes_the_variant_of_the_world(capsys, asked, tmp_path):
    file = tmp_path / "genes.json"
    options = ["--graph", "sf2", "--mechanism", "mlp", "--features", "tanh", "--sign", "drug"]
    options += ["--intervention", "hard", "--structure", "gradient", "--nodes", "50"]
    options += ["--drugs", "30", "--cells", "5", "--control-cells", "100"]
    code, _, _ = _run(
        capsys, "benchmark", "genes", *options, "--seeds", "0", "1", "--json", str(file)
    )
    assert code == 0
    world = {
        "graph": "sf2",
        "mechanism": "mlp",
        "features": "tanh",
        "sign": "drug",
        "intervention": "hard",
        "n_nodes": 50,
        "n_drugs": 30,
        "n_cells": 5,
        "n_control": 100,
    }
    assert asked == [([0, 1], world, "gradient", file)]


def test_targets_benchmark_takes_a_screen(capsys, asked):
    code, _, _ = _run(capsys, "benchmark", "targets", "hill", "--seed", "3")
    assert code == 0
    assert asked == [("hill", 3, None)]


def test_unknown_screen_is_refused_with_the_choices(capsys):
    code, _, err = _run(capsys, "benchmark", "targets", "dixit")
    assert code == 2
    assert "papalexi" in err
