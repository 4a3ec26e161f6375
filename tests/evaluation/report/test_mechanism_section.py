import pandas as pd
import pytest
from fixtures.models import fit, make_screen

from scgim.evaluation.report._mechanism_section import (
    SHARES,
    MechanismFindings,
    add_mechanism,
    find_mechanisms,
    rank_own_genes,
)


@pytest.fixture(scope="module")
def gim():
    return fit(make_screen(), max_epochs=20)


def test_a_model_says_what_its_effects_and_predictions_rest_on(gim):
    found = find_mechanisms(gim, ["drug_x", "drug_a", "drug_x"])
    assert found.shares.perturbation.tolist() == list(gim.screen.table.perturbations)
    assert set(found.sources.perturbation) == {"drug_x"}
    assert found.own_genes.empty


def test_named_genes_have_no_shares(genes_model):
    assert find_mechanisms(genes_model, []).shares.empty


def test_the_gene_that_a_perturbation_is_named_after_has_a_rank():
    targets = pd.DataFrame(
        {
            "perturbation": ["STAT1", "STAT1", "JAK2", "JAK2", "other", "other"],
            "gene": ["STAT1", "JAK2"] * 3,
            "evidence": [0.9, 0.2, 0.8, 0.1, 0.0, 0.0],
            "effect": [-1.0, -0.2, -0.9, -0.1, 0.0, 0.0],
            "is_target": [True, False, True, False, False, False],
        }
    )
    own = rank_own_genes(targets)
    assert own["rank"].to_dict() == {"STAT1": 1, "JAK2": 2}


def test_figure_tables_and_words_are_on_the_page(folder, gim):
    found = find_mechanisms(gim, ["drug_x"])
    own = pd.DataFrame({"rank": [1], "effect": [-0.7], "is_target": [True]}, index=["STAT1"])
    add_mechanism(folder, MechanismFindings(found.shares, own, found.sources))
    titles = [item.title for item in folder.items]
    assert titles[0] == SHARES
    assert folder.items[1].note.startswith("1 of 1 come first.")
    assert folder.items[2].text.startswith("1 of 1: ")
    assert (folder.path / "tables" / "mechanism_share.csv").exists()
    assert (folder.path / "tables" / "prediction_sources.csv").exists()


def test_nothing_to_say_adds_nothing(folder):
    empty = pd.DataFrame()
    add_mechanism(folder, MechanismFindings(empty, empty, empty))
    assert folder.items == []
