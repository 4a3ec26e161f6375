import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

from scgim.data import PerturbationTable, Screen
from scgim.model._checks import (
    check_conditions,
    check_context_has_cells,
    check_do,
    check_do_context,
    check_do_kind,
    check_genes,
    check_is_trained,
    check_no_proteins,
    check_something_is_left,
)
from scgim.module._gim_module import check_seen_labels

KNOWN = ["drug_a", "drug_b", "drug_x"]


@pytest.fixture
def screen():
    features = pd.DataFrame({"f": [1.0, 2.0, 3.0]}, index=KNOWN)
    table = PerturbationTable.from_labels(["drug_a", "drug_b", "vehicle"], "vehicle", features)
    conditions = pd.DataFrame(
        {
            "perturbation": ["drug_a", "drug_b", "vehicle"],
            "dose": [1.0, 10.0, 0.0],
            "n_cells": [5, 5, 9],
        }
    )
    return Screen(
        table=table,
        conditions=conditions,
        perturbation_key="drug",
        dose_key="dose",
        batch_key="lane",
        batches=("lane_1", "lane_2"),
        categorical_covariates={"donor": (1, 2)},
        continuous_covariates=(),
        program_mask=None,
    )


def check(conditions, screen, known=KNOWN, ignore=()):
    return check_conditions(conditions, screen, known, lambda: None, ignore)


def refuses(conditions, screen, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check(conditions, screen)


def test_pairs_become_a_table_with_the_columns_of_set_up(screen):
    table = check([("drug_a", 1), ["vehicle", 0]], screen)
    assert table.to_dict("list") == {"drug": ["drug_a", "vehicle"], "dose": [1.0, 0.0]}


def test_tables_are_copied_and_their_ignored_columns_kept(screen):
    given = pd.DataFrame({"drug": ["drug_a"], "dose": ["1"], "note": ["x"]}, index=["mine"])
    table = check(given, screen, ignore=["note"])
    assert table.note.tolist() == ["x"]
    assert table.index.tolist() == [0]
    assert given.dose.tolist() == ["1"]


def test_combinations_in_any_order_and_with_the_control_are_known(screen):
    assert len(check([("drug_b+drug_a", 1.0), ("drug_x+vehicle", 1.0)], screen)) == 2


def test_no_conditions_at_all_are_refused(screen):
    refuses([], screen, "`conditions` is empty. Pass at least one condition to predict.")


def test_a_missing_column_is_named(screen):
    refuses(
        pd.DataFrame({"compound": ["drug_a"], "dose": [1.0]}),
        screen,
        "`conditions` has no column 'drug'; its columns are ['compound', 'dose']. It needs "
        "['drug', 'dose'], as named in `GIM.setup_anndata`.",
    )


def test_entries_of_the_wrong_length_are_shown(screen):
    refuses(
        ["drug_a"],
        screen,
        "`conditions` has entries such as ['drug_a'], but each needs ['drug', 'dose']. Pass a list "
        "of (perturbation, dose), or a DataFrame.",
    )


def test_a_name_alone_is_not_read_letter_by_letter(screen):
    with pytest.raises(ValueError, match=re.escape("has entries such as ['drug_a'], but each")):
        check("drug_a", screen)


def test_the_entry_that_is_shown_is_the_one_of_the_wrong_length(screen):
    with pytest.raises(ValueError, match=re.escape("has entries such as ['drug_b'], but each")):
        check([("drug_a", 1.0), ("drug_b",)], screen)


def test_unknown_perturbations_are_named_with_the_closest(screen):
    refuses(
        [("drug_z", 1.0)],
        screen,
        "Perturbation 'drug_z' was not in training and has no features. The known perturbations "
        "closest to it are ['drug_x', 'drug_b', 'drug_a']. Correct the name, or pass its features "
        "as `features=`, a DataFrame with one row per perturbation.",
    )


def test_the_unknown_part_of_a_combination_is_named(screen):
    with pytest.raises(ValueError, match=r"^Perturbation 'nonsense' was not in training"):
        check([("drug_a+nonsense", 1.0)], screen)


@pytest.mark.parametrize("dose", [-1.0, np.nan, np.inf, "high"])
def test_doses_that_are_no_amount_are_shown(screen, dose):
    refuses(
        [("drug_a", 1.0), ("drug_b", dose)],
        screen,
        f"`conditions['dose']` has {dose!r} for perturbation 'drug_b', but a dose is a number, zero "
        "or positive, in the unit of training.",
    )


@pytest.mark.parametrize("dose", [1000.0, 0.01])
def test_doses_far_outside_the_trained_range_are_warned_of(screen, dose):
    message = (
        "1 conditions have a dose more than 10 times outside the trained range 1 to 10, for "
        f"example {dose:g}. Is it in the unit of training? They are predicted on the fitted dose "
        "response and marked in the column `is_dose_extrapolated`."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        check([("drug_a", 1.0), ("drug_b", dose)], screen)


def test_doses_at_the_edge_of_the_range_are_not_warned_of(screen, recwarn):
    check([("drug_a", 100.0), ("drug_a", 0.1), ("drug_a", 0.0)], screen)
    assert not recwarn.list


def test_unknown_categories_are_named_with_the_closest(screen):
    table = pd.DataFrame({"drug": ["drug_a"], "dose": [1.0], "lane": ["lane 2"]})
    refuses(
        table,
        screen,
        "`conditions['lane']` has 'lane 2', which was not in training. The values closest to it "
        "are ['lane_2', 'lane_1']. Pass one of them, or leave the column out to average over the "
        "control cells.",
    )
    with pytest.raises(ValueError, match=r"`conditions\['donor'\]` has '3', which was not"):
        check(table.assign(lane="lane_1", donor=3), screen)
    assert len(check(table.assign(lane="lane_1", donor=2), screen)) == 1


def test_an_untrained_model_is_told_to_train():
    class Untrained:
        is_trained_ = False

    message = r"^`GIM\.do` needs a trained model, and this one is not\. Call `GIM\.train` first\.$"
    with pytest.raises(RuntimeError, match=message):
        check_is_trained(Untrained(), "do")


@dataclass
class FakeIntervention:
    shift: torch.Tensor


@pytest.mark.parametrize(
    ("interventions", "error", "message"),
    [
        (
            {},
            ValueError,
            "`GIM.do` got no intervention. Pass at least one, for example `{name: -2.0}`.",
        ),
        (
            {"MAPKs": 1.0},
            ValueError,
            (
                "'MAPKs' is not a node of the causal graph. The nodes closest to it are ['MAPK']. "
                "Intervene on these."
            ),
        ),
        (
            {"p53": float("inf")},
            ValueError,
            "The intervention on 'p53' is inf, but it must be a finite number.",
        ),
        (
            {"p53": "up"},
            TypeError,
            (
                "The intervention on 'p53' is a str, but it must be a number or an intervention on "
                "one node. Make it with `scgim.scm.shift_node`, `set_node` or `scale_node`."
            ),
        ),
        (
            {"p53": FakeIntervention(torch.zeros(3))},
            ValueError,
            (
                "The intervention on 'p53' has tensors of shape (3,), but one on a single node holds "
                "single numbers. Make it with `scgim.scm.shift_node`, `set_node` or `scale_node`."
            ),
        ),
    ],
)
def test_interventions_by_hand_are_on_nodes(interventions, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        check_do(interventions, ["p53", "MAPK"])


def test_numbers_and_interventions_on_one_node_can_be_done():
    check_do({"p53": -2.0, "MAPK": FakeIntervention(torch.tensor(1.0))}, ["p53", "MAPK"])


def test_kinds_of_interventions_by_hand_fit_their_numbers():
    check_do_kind("set", [-1.0])
    check_do_kind("scale", [0.0, 2.0])
    message = r"^`kind='clamp'` is not a choice\. Choose one of \['shift', 'set', 'scale'\]\.$"
    with pytest.raises(ValueError, match=message):
        check_do_kind("clamp", [1.0])
    message = (
        r"^`kind='scale'` multiplies the noise of a node, but got -1\. Pass factors from 0 up\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_do_kind("scale", [-1.0])


def test_likelihood_of_cells_under_unseen_perturbations_is_refused():
    message = (
        "2 cells are under perturbations that were not in training, so their likelihood under the "
        "model is not defined. Use `GIM.get_latent_representation` to encode them, or "
        "`GIM.predict` to predict the perturbation."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_seen_labels(torch.tensor([0, 3, 4, 2]), 3)
    check_seen_labels(torch.tensor([0, 1, 2]), 3)


def test_genes_are_those_of_training_in_their_order():
    genes = pd.Index(["a", "b", "c"])
    check_genes(genes, genes)
    message = (
        "`adata` lacks 1 of the 3 genes of training: 'b'. Pass cells with the genes of training."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_genes(pd.Index(["a", "c"]), genes)
    message = (
        "`adata` has 4 genes that differ in order or number from the 3 of training. Select them "
        "with `adata[:, model.get_var_names()]`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_genes(pd.Index(["a", "b", "c", "d"]), genes)


def test_abstaining_from_everything_is_an_error():
    message = (
        "With `abstain=True` nothing is left to predict: of 2 conditions, the first is left out because "
        "of: far. Ask for conditions that training covers, or pass `abstain=False` and read the columns "
        "of `obs` that say how far each one is."
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        check_something_is_left(["far", "new"])
    assert str(error.value) == message
    check_something_is_left(["far", ""])


def test_a_context_without_control_cells_is_named():
    message = (
        "No control cell of training has lane='1' and donor='x', so there is nothing to start a "
        "prediction from. Pass control cells of this context as `adata`, or leave the condition out with "
        "`abstain=True`."
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        check_context_has_cells({"lane": "1", "donor": "x"}, 0)
    assert str(error.value) == message
    check_context_has_cells({}, 5)


def test_named_genes_have_no_proteins_beside_them():
    check_no_proteins("programs")
    message = (
        "`causal_space='genes'` has no second observation model for proteins. Pass one AnnData "
        "with the genes, or the proteins, that are the nodes, or choose "
        "`causal_space='programs'`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_no_proteins("genes")


def test_a_context_of_an_intervention_is_one_that_the_model_knows(screen):
    place = check_do_context({"lane": "lane_2", "donor": 1}, screen, has_cells=False)
    assert place == {"lane": ["lane_2"], "donor": ["1"]}
    assert check_do_context(None, screen, has_cells=True) == {}
    message = (
        "`context` has 'line', which is no batch or categorical covariate of the model; those "
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}are " + r"\['lane', 'donor'\]"):
        check_do_context({"line": "K562"}, screen, has_cells=False)
    message = (
        "`context['lane']` is 'lane_3', which was not in training. The values closest to it are "
        "['lane_2', 'lane_1']. Pass one of them."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_do_context({"lane": "lane_3"}, screen, has_cells=False)
    with pytest.raises(ValueError, match=r"`adata` already brings cells.* Pass one of the two\.$"):
        check_do_context({"lane": "lane_2"}, screen, has_cells=True)
