from __future__ import annotations

import importlib

import pytest

import scgim.benchmark
import scgim.evaluation
from scgim.benchmark._moved_names import MOVED

RESULTS_OF_0_1 = {
    "ChemistryBenchmark",
    "ProgramsBenchmark",
    "RealScreenBenchmark",
    "SpeedBenchmark",
}


@pytest.mark.parametrize("name", sorted(MOVED))
def test_a_moved_name_is_the_same_object_and_says_where_it_is(name):
    with pytest.warns(FutureWarning, match=f"`scgim.benchmark.{name}` moved in 0.2") as caught:
        found = getattr(scgim.benchmark, name)
    assert found is getattr(scgim.evaluation, MOVED[name])
    assert f"Import `scgim.evaluation.{MOVED[name]}`." in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", ["evaluate", "split", "GIMPredictor", "ScreenKeys"])
def test_a_moved_name_can_be_imported(name):
    with pytest.warns(FutureWarning, match=f"scgim.evaluation.{name}"):
        exec(f"from scgim.benchmark import {name}")


def test_all_results_of_0_1_are_one_class():
    assert {name for name, new in MOVED.items() if new == "RunResult"} == RESULTS_OF_0_1


def test_what_moved_is_not_listed_as_public_any_more():
    assert set(MOVED).isdisjoint(scgim.benchmark.__all__)


@pytest.mark.filterwarnings("error")
def test_what_never_was_there_is_not_found():
    with pytest.raises(AttributeError, match=r"module 'scgim\.benchmark' has no attribute 'jugde'"):
        scgim.benchmark.jugde  # noqa: B018


@pytest.mark.filterwarnings("error")
def test_importing_benchmark_warns_of_nothing():
    importlib.reload(scgim.benchmark)
