import numpy as np
import pandas as pd
import pytest

from scgim.benchmark import GIMPredictor, ScoringSettings, split
from scgim.benchmark._evaluate import run_evaluation
from scgim.benchmark._scoring import METRICS
from scgim.cli._evaluation_figures import condition_errors, coverage_at, stratify
from scgim.datasets import ProgramsWorld

SETTINGS = ScoringSettings(n_cells=5, n_genes=20)


def scores_of(doses=(1.0, 10.0)):
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


def test_several_doses_are_strata_in_their_order():
    table, kind = stratify(scores_of(doses=(10.0, 1.0)))
    assert kind == "dose"
    assert list(dict.fromkeys(table["stratum"])) == ["1", "10"]


def test_one_dose_is_stratified_by_the_size_of_the_effect():
    scores = pd.concat(
        [
            scores_of(doses=(1.0,)).assign(perturbation=f"drug {i}", value=float(i))
            for i in (2, 0, 1)
        ]
    )
    table, kind = stratify(scores)
    assert kind == "size of the effect"
    first = table.drop_duplicates("perturbation")
    assert dict(zip(first["perturbation"], first["stratum"], strict=True)) == {
        "drug 0": "weak effect",
        "drug 1": "medium effect",
        "drug 2": "strong effect",
    }


@pytest.fixture(scope="module")
def trained():
    world = ProgramsWorld(
        0, n_nodes=4, n_genes=40, n_control=80, n_cells=6, n_classes=3, n_drugs=9, n_unseen=2,
        n_sums=1, n_interior=2, n_top=1,
    )  # fmt: skip
    adata = world.screen()
    gim = GIMPredictor(n_nodes=4, measure_gauge=False, train_kwargs={"max_epochs": 2})
    chosen = split(adata, "interior_dose", seed=0)
    return gim, run_evaluation(gim, adata, chosen, settings=SETTINGS)


def test_errors_are_those_of_the_moving_genes_without_the_noise_of_the_truth(trained):
    gim, evaluation = trained
    truth = evaluation.truth
    errors = condition_errors(gim, evaluation, SETTINGS)
    assert len(errors) == truth.n_conditions
    assert (errors["uncertainty"] > 0).all()
    everything = ScoringSettings(n_genes=40)
    noise = truth.standard_error**2
    expected = ((evaluation.shifts["GIM"] - truth.shift) ** 2 - noise).mean(axis=1)
    found = condition_errors(gim, evaluation, everything)["error"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_wider_intervals_cover_more(trained):
    coverage = coverage_at((0.5, 0.8, 0.95), *trained, SETTINGS)
    assert coverage["level"].tolist() == [0.5, 0.8, 0.95]
    assert coverage["coverage"].is_monotonic_increasing
    assert coverage["coverage"].between(0, 1).all()
