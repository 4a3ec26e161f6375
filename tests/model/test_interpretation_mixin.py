from dataclasses import replace

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from scgim.data import PerturbationDirections

TARGET_COLUMNS = [
    "perturbation",
    "node",
    "probability",
    "effect",
    "lower",
    "upper",
    "evidence",
    "is_target",
    "ambiguous",
]


def test_targets_have_one_row_per_perturbation_and_node(model):
    targets = model.get_intervention_targets()
    assert list(targets) == TARGET_COLUMNS
    expected = pd.MultiIndex.from_product([model.screen.table.perturbations, model.node_names_])
    assert list(zip(targets.perturbation, targets.node, strict=True)) == list(expected)
    assert targets.probability.between(0, 1).all()
    assert (targets.lower <= targets.upper).all()
    assert (targets.evidence >= 0).all()
    assert targets.is_target.dtype == targets.ambiguous.dtype == bool


def test_targets_rank_as_evidence_and_probability_do(model):
    targets = model.get_intervention_targets(["drug_a"]).sort_values("evidence")
    assert targets.probability.is_monotonic_increasing
    assert targets.effect.abs().iloc[-1] > targets.effect.abs().iloc[0]


def test_targets_of_unseen_perturbations_come_from_their_features(model, screen):
    targets = model.get_intervention_targets(["drug_x", "drug_a"])
    assert targets.perturbation.unique().tolist() == ["drug_x", "drug_a"]
    features = screen.uns["drug_features"].loc[["drug_x"]].set_axis(["new"])
    given = model.get_intervention_targets("new", features=features)
    np.testing.assert_allclose(given.effect, targets.effect[:3])


def test_one_perturbation_may_be_given_as_text(model):
    pd.testing.assert_frame_equal(
        model.get_intervention_targets("drug_b"), model.get_intervention_targets(["drug_b"])
    )


def test_unknown_perturbations_are_named_with_the_closest(model):
    message = (
        r"^Perturbation 'drug_q' was not in training and has no features\. The known perturbations "
        r"closest to it are \[('drug_\w', ){4}'drug_\w'\]\. Correct the name, or pass its features "
        r"as `features=`, a DataFrame with one row per perturbation\.$"
    )
    with pytest.raises(ValueError, match=message):
        model.get_intervention_targets(["drug_q"])


def test_dose_response_rises_from_nothing_to_the_effect_of_the_target_table(model):
    response = model.get_dose_response(["drug_a"], doses=[0.0, 1.0, 10.0, 100.0])
    assert list(response) == ["perturbation", "node", "dose", "effect", "lower", "upper"]
    assert len(response) == 4 * 3
    assert (response[response.dose == 0][["effect", "lower", "upper"]] == 0).all(axis=None)
    by_node = response.pivot_table(index="dose", columns="node", values="effect").abs()
    assert (by_node.diff().iloc[1:] >= 0).all(axis=None)
    saturated = model.get_intervention_targets(["drug_a"]).set_index("node").effect.abs()
    assert (by_node.iloc[-1] <= saturated[by_node.columns] + 1e-6).all()


def test_potency_is_told_per_perturbation_with_its_interval(model):
    response = model.get_dose_response()
    assert set(response.attrs["ec50"]) == set(model.screen.table.perturbations)
    for potency in response.attrs["ec50"].values():
        assert 0 < potency["lower"] <= potency["ec50"] <= potency["upper"]
    assert len(set(response.attrs["hill"].values())) == 1
    assert response.dose.nunique() == 20
    assert response.dose.min() == pytest.approx(0.1)
    assert response.dose.max() == pytest.approx(100.0)


def test_half_of_the_saturating_effect_is_reached_at_ec50(model):
    ec50 = model.get_dose_response(["drug_c"]).attrs["ec50"]["drug_c"]["ec50"]
    half = model.get_dose_response(["drug_c"], doses=[ec50]).effect
    full = model.get_intervention_targets(["drug_c"]).effect
    np.testing.assert_allclose(half, 0.5 * full, rtol=1e-3)


def test_a_screen_without_doses_has_no_dose_response(plain_model):
    message = (
        "^This screen was registered without doses, so it has no dose response. Pass `dose_key` to "
        r"`GIM\.setup_anndata`\.$"
    )
    with pytest.raises(RuntimeError, match=message):
        plain_model.get_dose_response()


def test_a_screen_without_doses_has_targets(plain_model):
    targets = plain_model.get_intervention_targets()
    assert list(targets) == TARGET_COLUMNS
    assert np.isfinite(targets.effect).all()


def test_causal_graph_is_acyclic_with_parents_in_rows(model):
    graph = model.get_causal_graph()
    assert graph.index.tolist() == graph.columns.tolist() == model.node_names_
    weights = graph.to_numpy()
    np.testing.assert_array_equal(weights, np.triu(weights, 1))
    as_networkx = model.get_causal_graph(as_networkx=True)
    assert nx.is_directed_acyclic_graph(as_networkx)
    assert set(as_networkx) == set(model.node_names_)
    assert as_networkx.number_of_edges() == np.count_nonzero(weights)


def test_edge_probabilities_are_shares_of_bases(model):
    probability = model.get_causal_graph("probability")
    assert probability.shape == (3, 3)
    assert probability.to_numpy().min() >= 0
    assert probability.to_numpy().max() <= 1


def test_an_edge_on_which_a_near_tie_disagrees_is_ambiguous(model, monkeypatch):
    weights = model.get_causal_graph().to_numpy()
    own = model.fitted.gauge["directions"]
    reordered = own[:, ::-1]
    monkeypatch.setitem(model.fitted.gauge, "near_ties", np.stack([own, reordered]))
    ambiguous = model.get_causal_graph("ambiguous").to_numpy()
    probability = model.get_causal_graph("probability").to_numpy()
    assert ambiguous.dtype == bool
    np.testing.assert_array_equal(ambiguous, (probability > 0) & (probability < 1))
    assert ambiguous[np.abs(weights) > 0.25].all()


def test_kind_of_graph_is_one_of_its_choices(model):
    with pytest.raises(ValueError, match=r"`kind='strength'`"):
        model.get_causal_graph("strength")


def test_gene_programs_are_genes_by_nodes_around_their_median(model):
    programs = model.get_gene_programs()
    assert programs.index.tolist() == [f"gene_{i}" for i in range(24)]
    assert programs.columns.tolist() == model.node_names_
    np.testing.assert_allclose(programs.median(), 0, atol=1e-6)


def test_direct_targets_are_a_row_per_perturbation_and_gene(model):
    table = model.get_intervention_targets(level="genes")
    assert list(table) == [
        "perturbation",
        "gene",
        "effect",
        "lower",
        "upper",
        "false_sign_rate",
        "evidence",
        "share",
        "is_target",
    ]
    assert len(table) == 5 * 24
    assert (table.lower <= table.effect).all()
    assert (table.effect <= table.upper).all()
    assert table.false_sign_rate.between(0, 1).all()
    shares = table.groupby("perturbation").share.sum()
    np.testing.assert_allclose(shares[shares > 0.5], 1, rtol=1e-5)
    assert not table.is_target[table.false_sign_rate > 0.1].any()


def test_direct_targets_of_what_was_not_run_are_refused(model):
    with pytest.raises(ValueError, match=r"'drug_x' was not in training, and direct effects"):
        model.get_intervention_targets(["drug_x"], level="genes")


def test_a_direction_orients_the_evidence_of_genes(model):
    either = model.get_intervention_targets(["drug_a"], level="genes")
    fitted = model.fitted
    lowering = replace(
        fitted, screen=replace(fitted.screen, directions=PerturbationDirections("lowers"))
    )
    lowered = lowering.call_gene_targets(["drug_a"])["evidence"][0]
    np.testing.assert_allclose(np.abs(lowered), either.evidence)
    np.testing.assert_array_equal(np.sign(lowered), -np.sign(either.effect))


def test_shares_of_mechanism_add_up_to_one(model):
    table = model.get_mechanism_share()
    assert table.perturbation.tolist() == list(model.screen.table.perturbations)
    total = table[["mechanism", "direct", "unexplained"]].sum(axis=1, min_count=3).dropna()
    np.testing.assert_allclose(total, 1)
    assert len(total) >= 3


def test_sources_of_predictions_are_named(model):
    table = model.get_prediction_sources()
    assert set(table.perturbation) == {"drug_x", "drug_y"}
    assert (table.weight >= 0).all()
    assert table.text.str.endswith(".").all()
    assert model.get_prediction_sources(["drug_a"]).source.tolist() == ["own cells"]


def test_where_nodes_are_genes_there_are_no_direct_effects(genes_model):
    with pytest.raises(ValueError, match="the nodes are the genes"):
        genes_model.get_intervention_targets(level="genes")
    with pytest.raises(ValueError, match="nothing to divide"):
        genes_model.get_mechanism_share()
    unseen = genes_model.get_prediction_sources()
    assert set(unseen.source) == {"causal generator"}


def test_a_model_without_direct_effects_says_why(model):
    old = replace(model.fitted, direct=None)
    with pytest.raises(RuntimeError, match="no direct effects on genes"):
        old.call_gene_targets(["drug_a"])
