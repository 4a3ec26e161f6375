from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from scgim.datasets import ProgramsWorld
from scgim.evaluation import GIMPredictor, ScoringSettings, split
from scgim.evaluation._evaluate import run_evaluation
from scgim.evaluation._scoring import METRICS
from scgim.evaluation.report._artifacts import OutputFolder


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def folder(tmp_path):
    return OutputFolder(tmp_path / "out")


@pytest.fixture(scope="session")
def scores_of():
    """Scores of four predictors, one of which cannot predict, in the columns of an evaluation."""

    def make(doses=(1.0, 10.0)):
        rows = []
        for predictor, kind in (("technical duplicate", "ceiling"), ("GIM", "evaluated"),
                                ("additive", "baseline"), ("no effect", "baseline")):  # fmt: skip
            for metric in METRICS:
                for number, dose in enumerate(doses):
                    value = np.nan if predictor == "additive" else float(number)
                    reason = "not a combination" if predictor == "additive" else ""
                    rows.append((predictor, kind, "A", dose, "", metric.name, value, reason, 0))
        columns = ["predictor", "kind", "perturbation", "dose", "context", "metric", "value"]
        return pd.DataFrame(rows, columns=[*columns, "reason", "seed"])

    return make


@pytest.fixture(scope="session")
def scoring():
    return ScoringSettings(n_cells=10, n_genes=20)


@pytest.fixture(scope="session")
def trained(scoring):
    """A GIM, hardly trained, and its evaluation on interior doses."""
    world = ProgramsWorld(
        0, n_nodes=4, n_genes=40, n_control=80, n_cells=6, n_classes=3, n_drugs=9, n_unseen=2,
        n_sums=1, n_interior=2, n_top=1,
    )  # fmt: skip
    adata = world.screen()
    gim = GIMPredictor(n_nodes=4, measure_gauge=False, train_kwargs={"max_epochs": 2})
    chosen = split(adata, "interior_dose", seed=0)
    return gim, run_evaluation(gim, adata, chosen, settings=scoring)
