import numpy as np
import pytest

from scgim.datasets import ProgramsWorld
from scgim.evaluation import NoEffect, RidgeOnFeatures, ScoringSettings, split
from scgim.evaluation._evaluate import run_evaluation
from scgim.evaluation.report._collapse_section import (
    NOTHING_DIFFERS,
    TITLE,
    add_collapse,
    compare_predictors,
)
from scgim.evaluation.report._report import ReportText

SETTINGS = ScoringSettings(n_cells=5, n_genes=10)


class Honest(RidgeOnFeatures):
    name = "honest"


class Collapsed(NoEffect):
    name = "collapsed"


@pytest.fixture(scope="module")
def adata():
    world = ProgramsWorld(
        2, n_nodes=4, n_classes=4, n_genes=40, n_control=200, n_cells=12, n_drugs=20, n_unseen=2,
        n_sums=1,
    )  # fmt: skip
    return world.screen()


@pytest.fixture(scope="module")
def evaluation(adata):
    chosen = split(adata, "perturbation", fraction=0.4, seed=1)
    predictors = {"honest": Honest(), "collapsed": Collapsed()}
    return run_evaluation(predictors, adata, chosen, settings=SETTINGS)


def test_a_collapsed_predictor_is_told_from_an_honest_one(evaluation):
    table = compare_predictors(evaluation).set_index("predictor")
    assert table.loc["collapsed", "ratio"] == 0
    assert table.loc["collapsed", "is_collapsed"]
    assert table.loc["honest", "ratio"] > 0.2
    assert not table.loc["honest", "is_collapsed"]
    assert "additive" not in table.index  # it predicts nothing here
    assert (table["lower"] <= table["ratio"]).all()
    assert (table["ratio"] <= table["upper"]).all()


def test_seeds_are_joined(evaluation, folder):
    add_collapse(folder, [evaluation, evaluation], "collapsed")
    (table,) = folder.items
    assert table.title == TITLE
    assert table.values.loc["collapsed", "collapsed"] == "2 of 2"
    assert table.values.loc["honest", "collapsed"] == "0 of 2"
    assert np.isfinite(table.values["ratio"]).all()


def test_one_perturbation_has_none_to_differ_from(adata, folder):
    one = split(adata, "top_dose", fraction=0.05, seed=0)
    assert len(one.held_out) == 1
    evaluation = run_evaluation({"collapsed": Collapsed()}, adata, one, settings=SETTINGS)
    add_collapse(folder, [evaluation], "collapsed")
    assert folder.items == [ReportText(TITLE, NOTHING_DIFFERS)]
