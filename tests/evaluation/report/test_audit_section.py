import numpy as np
import pandas as pd
import pytest

from scgim.evaluation import FeatureAudit
from scgim.evaluation.report._audit_section import NOT_NEEDED, add_audit, audit_table, join_found
from scgim.evaluation.report._report import ReportText


@pytest.fixture
def audit():
    rows = [
        {"ablation": name, "how": how, "r2": 0.5 - effect, "effect": effect}
        | {"lower": effect - 0.2, "upper": effect + 0.2, "moved": 1.0, "n_perturbations": 6}
        for name, how, effect in (
            ("shuffled", "predicted again", 0.4),
            ("zeroed", "predicted again", 0.1),
            ("one-hot", "retrained", 0.5),
        )
    ]
    return FeatureAudit("GIM", 0.5, pd.DataFrame(rows), "uses features")


def test_every_ablation_has_a_row_below_that_of_the_own_features(audit):
    table = audit_table(join_found({0: audit, 1: audit}))
    assert table.index.tolist() == [
        "own features",
        "shuffled, predicted again",
        "zeroed, predicted again",
        "one-hot, retrained",
    ]
    assert table["R²"].tolist() == pytest.approx([0.5, 0.1, 0.4, 0.0])
    assert np.isnan(table.loc["own features", "R² lost"])
    assert table["seeds with a sure loss"].tolist() == ["", "2 of 2", "0 of 2", "2 of 2"]


def test_a_seed_without_an_audit_does_not_hide_that_of_another(audit):
    assert join_found({0: "No audit: too few.", 1: audit}).verdict == "uses features"
    assert join_found({0: NOT_NEEDED, 1: NOT_NEEDED}) == NOT_NEEDED


def test_the_verdict_stands_below_the_table(folder, audit):
    add_audit(folder, join_found({0: audit}), "--split drug")
    (table,) = folder.items
    assert table.title == "Are the features used? (--split drug)"
    assert table.note.startswith("GIM uses features: R² of 6 unseen perturbations is 0.500; ")


def test_where_an_audit_makes_no_sense_the_page_says_so(folder):
    add_audit(folder, NOT_NEEDED)
    assert folder.items == [ReportText("Are the features used?", NOT_NEEDED)]
