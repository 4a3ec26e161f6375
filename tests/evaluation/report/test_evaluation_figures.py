import numpy as np
import pandas as pd

from scgim.evaluation import ScoringSettings
from scgim.evaluation.report._evaluation_figures import condition_errors, coverage_at, stratify


def test_several_doses_are_strata_in_their_order(scores_of):
    table, kind = stratify(scores_of(doses=(10.0, 1.0)))
    assert kind == "dose"
    assert list(dict.fromkeys(table["stratum"])) == ["1", "10"]


def test_one_dose_is_stratified_by_the_size_of_the_effect(scores_of):
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


def test_errors_are_those_of_the_moving_genes_without_the_noise_of_the_truth(trained, scoring):
    gim, evaluation = trained
    truth = evaluation.truth
    errors = condition_errors(gim, evaluation, scoring)
    assert len(errors) == truth.n_conditions
    assert (errors["uncertainty"] > 0).all()
    everything = ScoringSettings(n_genes=40)
    noise = truth.standard_error**2
    expected = ((evaluation.shifts["GIM"] - truth.shift) ** 2 - noise).mean(axis=1)
    found = condition_errors(gim, evaluation, everything)["error"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_wider_intervals_cover_more(trained, scoring):
    coverage = coverage_at((0.5, 0.8, 0.95), *trained, scoring)
    assert coverage["level"].tolist() == [0.5, 0.8, 0.95]
    assert coverage["coverage"].is_monotonic_increasing
    assert coverage["coverage"].between(0, 1).all()
