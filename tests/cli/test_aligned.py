import anndata as ad
import pandas as pd
import pytest

from scgim.cli._aligned import AlignedTables


@pytest.fixture
def aligned(model):
    shifts = pd.DataFrame([[0.0, 3.0], [1.5, 0.0]], index=["A", "B"], columns=["node_0", "node_1"])
    truth = {
        "shifts": shifts,
        "log10_ec50": pd.DataFrame({"log10_ec50": [0.0, 1.0]}, index=["A", "B"]),
    }
    obs = pd.DataFrame(
        {
            "drug": pd.Categorical(["vehicle"] * 30 + ["A", "B"] * 10),
            "dose": [0.0] * 30 + [1.0, 10.0] * 10,
        },
        index=[f"cell_{cell}" for cell in range(50)],
    )
    adata = ad.AnnData(obs=obs, obsm={"true_nodes": model.nodes}, uns={"truth": truth})
    return AlignedTables.of(model, adata, ["A", "B"], [0.1, 1.0, 10.0])


def test_nodes_stand_in_the_order_of_the_true_ones(aligned):
    assert aligned.targets["node"].tolist() == ["program_1", "program_1", "program_0", "program_0"]
    assert list(aligned.adjacency.index) == ["program_1", "program_0"]


def test_effects_turn_with_the_sign_of_their_node(aligned):
    row = aligned.targets.set_index(["perturbation", "node"]).loc[("A", "program_0")]
    assert (row["effect"], row["lower"], row["upper"]) == (2.0, 1.0, 2.5)
    kept = aligned.targets.set_index(["perturbation", "node"]).loc[("B", "program_1")]
    assert (kept["effect"], kept["lower"], kept["upper"]) == (1.0, 0.5, 2.0)


def test_edge_turns_if_one_of_its_ends_does(aligned):
    assert aligned.adjacency.loc["program_1", "program_0"] == -0.8


def test_true_shifts_are_in_control_deviations(aligned, model):
    assert aligned.true_shifts.loc["A", "node_1"] == pytest.approx(3.0 / model.nodes[:30, 1].std())


def test_true_response_is_half_of_the_shift_at_the_ec50(aligned):
    table = aligned.true_response.set_index(["perturbation", "node"])
    for drug, node, true_node in (("A", "program_0", "node_1"), ("B", "program_1", "node_0")):
        assert table.loc[(drug, node), "effect"] == pytest.approx(
            aligned.true_shifts.loc[drug, true_node] / 2
        )


def test_ec50_survives_the_alignment(aligned):
    assert aligned.response.attrs["ec50"] == {"A": 1.0, "B": 1.0}
