import numpy as np
import pandas as pd
import pytest

from scgim.model._applicability import (
    add_applicability,
    feature_similarity,
    is_new_in_context,
    why_abstain,
)
from scgim.model._conditions import prepare_conditions


def test_seen_perturbations_are_their_own_nearest(model):
    table = feature_similarity(model.screen, ["drug_a", "drug_b", "drug_a"], None)
    assert table.index.tolist() == ["drug_a", "drug_b"]
    assert table["nearest"].tolist() == ["drug_a", "drug_b"]
    assert table["similarity"].tolist() == [1, 1]


def test_copy_of_a_seen_perturbation_is_identical_to_it(model):
    registered = model.screen.table.features
    copy = registered.loc[["drug_b"]].set_axis(["copy"])
    far = registered.loc[["drug_b"]].set_axis(["far"]) + 50.0
    table = feature_similarity(model.screen, ["copy", "far"], pd.concat([copy, far]))
    assert table.loc["copy", "nearest"] == "drug_b"
    assert table.loc["copy", "similarity"] == pytest.approx(1)
    assert 0 <= table.loc["far", "similarity"] < 0.5


def test_without_features_similarity_is_unknown(plain_model):
    table = feature_similarity(plain_model.screen, ["drug_x"], None)
    assert np.isnan(table.loc["drug_x", "similarity"])


def test_condition_is_as_similar_as_its_least_similar_part():
    similarity = pd.DataFrame({"nearest": ["a", "b"], "similarity": [1.0, 0.3]}, index=["a", "x"])
    obs = pd.DataFrame(index=range(3))
    add_applicability(obs, similarity, [(), ("a",), ("a", "x")])
    assert obs["feature_similarity"].tolist() == [1.0, 1.0, 0.3]
    assert obs["nearest_perturbation"].tolist() == ["", "a", "a+b"]


def test_every_reason_to_abstain_is_named():
    obs = pd.DataFrame(
        {
            "feature_distance": [0.5, 1.5, 0.0],
            "is_dose_extrapolated": [False, True, False],
            "is_new_context": [False, False, True],
        }
    )
    assert why_abstain(obs).tolist() == [
        "",
        "features far from all seen perturbations, dose outside the doses that were run",
        "no control cells of this context in training",
    ]


def test_a_perturbation_is_new_where_none_of_its_cells_were(model):
    table = model.screen.table
    asked = [("vehicle", 0.0), ("drug_a", 1.0), ("drug_b", 1.0), ("drug_x", 1.0), ("drug_c", 1.0)]
    prepared = prepare_conditions(model, asked, None)
    there = np.array([table.labels.index("vehicle"), table.labels.index("drug_a+drug_b")])
    is_new = is_new_in_context(prepared, table, [there] * 5)
    # in combination counts as run; what was never run anywhere is said to be unseen instead
    assert is_new.tolist() == [False, False, False, False, True]
    nowhere = is_new_in_context(prepared, table, [there[:0]] * 5)
    assert nowhere.tolist() == [False, True, True, False, True]


def test_similarity_of_fingerprints_is_tanimoto_over_all_bits(make, trained):
    """Bits that no seen drug has are what is new, and those that all have are common."""
    adata = make(4)
    rng = np.random.default_rng(0)
    names = [*adata.uns["drug_features"].index]
    bits = rng.integers(0, 2, (len(names), 40)).astype(float)
    bits[:5, 20:30], bits[:5, 30:], bits[5, 20:] = 0, 1, 1
    columns = [f"morgan:{i}" for i in range(40)]
    adata.uns["drug_features"] = table = pd.DataFrame(bits, names, columns)
    model = trained(adata)
    assert model.screen.table.features.shape[1] <= 20
    new = pd.DataFrame(rng.integers(0, 2, (1, 40)).astype(float), ["new"], columns)
    found = feature_similarity(model.screen, ["drug_x", "drug_y", "new"], new)["similarity"]
    seen = table.iloc[:5].to_numpy(bool)
    asked = pd.concat([table.loc[["drug_x", "drug_y"]], new])
    for name, row in zip(asked.index, asked.to_numpy(bool), strict=True):
        expected = ((row & seen).sum(1) / (row | seen).sum(1)).max()
        assert found[name] == pytest.approx(expected)
