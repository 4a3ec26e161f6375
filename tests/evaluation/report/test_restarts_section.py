import pandas as pd
import pytest

from scgim.evaluation.report._evaluation_figures import COVERAGE_LEVELS
from scgim.evaluation.report._restarts_section import Restarts, add_restarts, train_restarts

pytestmark = pytest.mark.filterwarnings("ignore:Unseen perturbations")


def test_each_training_has_a_row_and_all_together_the_last(trained, scoring):
    gim, evaluation = trained
    said = []
    restarts = train_restarts(gim, evaluation, scoring, 2, said.append)
    assert said == ["training 2"]
    table = restarts.table
    assert table.index.tolist() == ["training 1", "training 2", "all together"]
    own = evaluation.scores.query("predictor == 'GIM'").groupby("metric")["value"].mean()
    for metric in ("weighted R² from control", "coverage of the interval"):
        assert table.loc["training 1", metric] == pytest.approx(own[metric])
    widths = table["half-width of the interval"]
    assert widths["all together"] > widths[["training 1", "training 2"]].min()
    assert table["weighted R² from control"].nunique() == 3
    assert restarts.coverage["level"].tolist() == list(COVERAGE_LEVELS)
    assert restarts.coverage["coverage"].is_monotonic_increasing


def test_one_training_has_nothing_to_be_compared_with(trained, folder, scoring):
    restarts = train_restarts(*trained, scoring, 1, print)
    assert restarts is None
    add_restarts(folder, restarts)
    assert folder.items == []


def test_the_row_of_all_trainings_is_emphasised(folder):
    table = pd.DataFrame({"weighted MSE": [0.1, 0.2]}, index=["training 1", "all together"])
    add_restarts(folder, Restarts(table, pd.DataFrame()))
    assert folder.items[0].emphasis == "all together"
