import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from sklearn.metrics import average_precision_score

from scgim.model import GIM, GraphSearch
from scgim.scm import GradientSettings, fit_structure_by_gradient, hill_response


def _edges(world):
    return np.asarray(world.truth["adjacency"]) != 0


def _targets(world, drugs):
    return pd.DataFrame(world.truth["targets"]).loc[list(drugs)].to_numpy(bool)


def _true_shift(world, conditions):
    control = pd.DataFrame({"drug": ["vehicle"], "dose": [0.0]})
    expected = world.expected_mean(conditions, n_cells=4000)
    return expected - world.expected_mean(control, n_cells=20_000)


def test_graph_and_targets_are_recovered(genes_model, genes_world):
    graph = genes_model.get_causal_graph()
    assert list(graph.index) == list(graph.columns) == genes_world.gene_names
    assert ((graph.to_numpy() != 0) != _edges(genes_world)).sum() <= 1
    targets = genes_model.get_intervention_targets()
    truth = _targets(genes_world, targets.perturbation.unique()).ravel()
    assert average_precision_score(truth, targets.evidence) > 0.99
    assert (targets.is_target.to_numpy() == truth).mean() > 0.97


def test_targets_of_unseen_drugs_follow_from_their_features(genes_model, genes_world):
    unseen = [d for d in genes_world.drug_features.index if not genes_model.screen.is_seen(d)]
    targets = genes_model.get_intervention_targets(unseen)
    truth = _targets(genes_world, unseen).ravel()
    assert average_precision_score(truth, targets.evidence) > 0.8
    assert targets.probability.between(0, 1).all()


def test_new_doses_are_predicted_better_than_the_cells_of_a_condition_tell(
    genes_model, genes_world
):
    conditions = genes_world.held_out.query("split == 'new_dose'")[["drug", "dose"]].iloc[::5]
    error = np.linalg.norm(
        genes_model.predict_shift(conditions).X - _true_shift(genes_world, conditions), axis=1
    )
    assert error.mean() < 0.5 * np.sqrt(len(genes_world.gene_names) / genes_world.n_cells)


def test_targets_from_features_that_say_nothing_are_a_warning(
    genes_model, genes_screen, genes_world, train_genes, recwarn
):
    unseen = [d for d in genes_world.drug_features.index if not genes_model.screen.is_seen(d)][:1]
    genes_model.get_intervention_targets(unseen)
    assert not any("shuffled" in str(warning.message) for warning in recwarn.list)
    screen = genes_screen.copy()
    features = screen.uns["drug_features"]
    rng = np.random.default_rng(3)
    screen.uns["drug_features"] = pd.DataFrame(
        rng.standard_normal((len(features), 3)), features.index, list("abc")
    )
    model = train_genes(screen)
    with pytest.warns(
        UserWarning, match="little more than the rate at which each gene is a target"
    ):
        model.get_intervention_targets(unseen)


def test_unseen_drugs_are_predicted_better_than_by_no_effect(genes_model, genes_world):
    unseen = [d for d in genes_world.drug_features.index if not genes_model.screen.is_seen(d)]
    conditions = pd.DataFrame({"drug": unseen, "dose": 1.5})
    truth = _true_shift(genes_world, conditions)
    error = np.linalg.norm(genes_model.predict_shift(conditions).X - truth, axis=1).mean()
    assert error < 0.7 * np.linalg.norm(truth, axis=1).mean()


def test_intervals_hold_the_true_shift_about_as_often_as_they_say(genes_model, genes_world):
    conditions = genes_world.held_out.query("split == 'new_dose'")[["drug", "dose"]].iloc[::3]
    truth = _true_shift(genes_world, conditions)
    shift = genes_model.predict_shift(conditions, level=0.8)
    width = shift.layers["upper"] - shift.layers["lower"]
    # The truth is known to .02, and a gene that nothing reaches has no width.
    inside = np.abs(shift.X - truth) < width / 2 + 0.02
    assert inside.mean() > 0.75
    assert (width > 0).mean() > 0.2
    wider = genes_model.predict_shift(conditions, level=0.95)
    assert (wider.layers["upper"] >= shift.layers["upper"]).all()


def test_cells_have_the_mean_that_is_predicted(genes_model):
    condition = [("drug_00", 1.5)]
    cells = genes_model.predict(condition, n_cells=4000, seed=0)
    control = genes_model.predict([("vehicle", 0.0)], n_cells=4000, seed=0)
    shift = cells.X.mean(0) - control.X.mean(0)
    np.testing.assert_allclose(shift, genes_model.predict_shift(condition).X[0], atol=0.1)


def test_a_control_cell_comes_back_as_it_was(genes_model, genes_screen):
    cells = genes_screen[genes_screen.obs.drug == "vehicle"][:20].copy()
    same = genes_model.predict([("vehicle", 0.0)], adata=cells)
    np.testing.assert_allclose(same.X, cells.X, atol=1e-4)


def test_a_drug_is_the_do_query_of_its_intervention(genes_model):
    targets = genes_model.get_intervention_targets(["drug_01"]).query("is_target")
    response = genes_model.get_dose_response(["drug_01"], doses=[1.5]).set_index("node").effect
    drug = genes_model.predict([("drug_01", 1.5)], n_cells=30, seed=3)
    by_hand = genes_model.do(response[targets.node].to_dict(), n_cells=30, seed=3)
    np.testing.assert_allclose(by_hand.X, drug.X, atol=1e-4)


def test_nodes_are_standardised_expression(genes_model, genes_screen):
    nodes = genes_model.get_latent_representation()
    is_control = (genes_screen.obs.drug == "vehicle").to_numpy()
    np.testing.assert_allclose(nodes[is_control].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(nodes[is_control].std(0), 1, atol=1e-4)
    np.testing.assert_allclose(genes_model.get_normalized_expression(), genes_screen.X, atol=1e-4)


def test_every_gene_is_its_own_program(genes_model, genes_world):
    programs = genes_model.get_gene_programs()
    pd.testing.assert_frame_equal(
        programs,
        pd.DataFrame(np.eye(8), index=genes_world.gene_names, columns=genes_world.gene_names),
    )


def test_the_dose_response_of_a_target_is_a_hill_curve(genes_model):
    response = genes_model.get_dose_response(["drug_02"], doses=[0.5, 1.0, 2.0])
    saturated = genes_model.get_intervention_targets(["drug_02"]).set_index("node")
    node = saturated.index[saturated.is_target][0]
    potency = response.attrs["ec50"]["drug_02"]["ec50"]
    slope = response.attrs["hill"]["drug_02"]
    curve = response[response.node == node]
    expected = saturated.effect[node] * hill_response(
        torch.tensor(curve.dose.to_numpy()).log10(),
        torch.tensor(potency).log10(),
        torch.tensor(slope),
    )
    np.testing.assert_allclose(curve.effect, expected, rtol=1e-5)


def test_the_same_seed_finds_the_same_model(genes_screen, train_genes):
    before = scvi.settings.seed
    try:
        scvi.settings.seed = 5
        one = train_genes(genes_screen.copy())
        scvi.settings.seed = 5
        other = train_genes(genes_screen.copy())
    finally:
        scvi.settings.seed = before if before is not None else 0
    pd.testing.assert_frame_equal(one.get_intervention_targets(), other.get_intervention_targets())


def test_a_saved_model_predicts_the_same_with_and_without_cells(
    genes_model, genes_screen, tmp_path
):
    genes_model.save(tmp_path / "gim")
    conditions = [("drug_00", 1.0), ("drug_17", 1.0)]
    expected = genes_model.predict_shift(conditions)
    for adata in (False, genes_screen.copy()):
        loaded = GIM.load(tmp_path / "gim", adata)
        again = loaded.predict_shift(conditions)
        np.testing.assert_array_equal(again.X, expected.X)
        np.testing.assert_array_equal(again.layers["lower"], expected.layers["lower"])
        pd.testing.assert_frame_equal(
            loaded.get_intervention_targets(), genes_model.get_intervention_targets()
        )


def test_a_model_can_be_built_from_a_registry(genes_model, genes_world):
    model = GIM(registry=genes_model.registry_, causal_space="genes", gene_likelihood="normal")
    assert model.node_names_ == genes_world.gene_names


def test_the_scores_of_the_climbs_are_the_history(genes_model):
    history = genes_model.history["structure_score"]
    assert history.index.name == "climb"
    assert len(history) == 7


def test_annotation_writes_tables_of_named_genes(genes_model, genes_screen):
    adata = genes_screen.copy()
    genes_model.annotate(adata)
    assert adata.obsm["X_gim"].shape == (adata.n_obs, 8)
    assert adata.uns["gim"]["settings"]["causal_space"] == "genes"
    assert "kind" in adata.uns["gim"]["targets"]


def test_hard_interventions_are_told_from_shifts(mixed_model, mixed_world):
    targets = mixed_model.get_intervention_targets().query("is_target")
    is_hard = targets.perturbation.str[-1].astype(int) % 2 == 1
    assert ((targets.kind == "hard") == is_hard).mean() >= 0.9


def test_a_set_gene_no_longer_follows_its_parents(mixed_model):
    targets = mixed_model.get_intervention_targets().query("is_target and kind == 'hard'")
    drug, node = targets.iloc[0][["perturbation", "node"]]
    cells = mixed_model.predict([(drug, 2.0)], n_cells=2000, seed=0, output="nodes").to_df()
    assert cells[node].std() < 1.0


def test_neural_mechanisms_are_fitted(train_genes, genes_screen):
    model = train_genes(genes_screen.copy(), mechanism="mlp", search=GraphSearch(n_restarts=1))
    graph = model.get_causal_graph()
    assert (graph.to_numpy() != 0).any()
    assert np.isfinite(model.predict([("drug_00", 1.0)], n_cells=5).X).all()


def test_a_given_graph_is_kept(train_genes, genes_screen, genes_world):
    pairs = [
        (genes_world.gene_names[i], genes_world.gene_names[j])
        for i, j in np.argwhere(_edges(genes_world))
    ]
    model = train_genes(genes_screen.copy(), structure="given", search=GraphSearch(required=pairs))
    assert ((model.get_causal_graph().to_numpy() != 0) == _edges(genes_world)).all()


def test_the_published_optimiser_gives_an_acyclic_graph(train_genes, genes_screen, monkeypatch):
    monkeypatch.setattr(
        "scgim.spaces._genes_fit.fit_structure_by_gradient",
        lambda screen, seed: fit_structure_by_gradient(
            screen, seed=seed, settings=GradientSettings(n_steps=30)
        ),
    )
    model = train_genes(genes_screen.copy(), structure="gradient")
    power = np.linalg.matrix_power((model.get_causal_graph().to_numpy() != 0).astype(int), 8)
    assert (power == 0).all()


def test_knocked_out_genes_of_counts_are_found(counts_model):
    targets = counts_model.get_intervention_targets()
    own = targets.perturbation.str.removeprefix("ko_") == targets.node
    best = targets.loc[targets.groupby("perturbation").evidence.idxmax()]
    assert (best.perturbation.str.removeprefix("ko_") == best.node).all()
    assert (targets.residual[own] < -5).all()
    assert {"marginal", "residual", "kind"} <= set(targets)


def test_predicted_counts_are_those_of_the_screen(counts_model, gene_counts):
    is_control = (gene_counts.obs.drug == "control").to_numpy()
    real = gene_counts.X[is_control].toarray()
    cells = counts_model.predict(["control"], n_cells=3000, seed=0).X.toarray()
    assert (cells == cells.round()).all()
    np.testing.assert_allclose(cells.mean(0), real.mean(0), rtol=0.1)
    np.testing.assert_allclose(cells.var(0), real.var(0), rtol=0.3)


def test_knock_outs_of_counts_are_predicted(counts_model, gene_counts):
    real = gene_counts.X[(gene_counts.obs.drug == "ko_a").to_numpy()].toarray().mean(0)
    cells = counts_model.predict(["ko_a"], n_cells=3000, seed=0).X.toarray().mean(0)
    np.testing.assert_allclose(cells[:3], real[:3], rtol=0.35)


def test_expression_of_counts_is_normalised(counts_model):
    cells = counts_model.predict(["control"], n_cells=20, seed=0, output="normalized")
    assert (cells.X > 0).all()


def test_a_batch_can_be_asked_for(counts_model):
    conditions = pd.DataFrame({"drug": ["control"] * 2, "lane": ["lane_1", "lane_2"]})
    cells = counts_model.predict(conditions, n_cells=2000, seed=0, output="normalized").X
    ratio = cells[2000:].mean(0) / cells[:2000].mean(0)
    assert ratio[3] > 1.3
    np.testing.assert_allclose(ratio[5:], 1, atol=0.15)


@pytest.fixture(scope="module")
def combination_screen(gene_counts):
    """Knock-outs of a and other_0 alone, and of a and c together; c alone never."""
    adata = gene_counts[gene_counts.obs.drug.isin(["control", "ko_a", "ko_c", "ko_other_0"])].copy()
    adata.obs["drug"] = adata.obs.drug.astype(str).replace({"ko_c": "ko_a+ko_c"})
    both = (adata.obs.drug == "ko_a+ko_c").to_numpy()
    values = np.log1p(adata.X.toarray())
    values[both] += values[(adata.obs.drug == "ko_a").to_numpy()].mean(0)
    values[both] -= values[(adata.obs.drug == "control").to_numpy()].mean(0)
    adata.X = values
    names = [
        "ko_a",
        "ko_c",
        "ko_other_0",
    ]  # a part that was never run alone is known by its features
    adata.uns["knock_outs"] = pd.DataFrame(np.eye(3), index=names, columns=names)
    return adata


def test_perturbations_run_in_combination_only_get_what_the_known_ones_leave(
    combination_screen, train_genes, counts_setup
):
    adata = combination_screen.copy()
    setup = counts_setup | {
        "batch_key": None,
        "size_factor_key": None,
        "features_key": "knock_outs",
    }
    model = train_genes(adata, setup=setup)
    assert set(model.screen.table.perturbations) == {"ko_a", "ko_c", "ko_other_0"}
    targets = model.get_intervention_targets(["ko_c"]).set_index("node")
    assert targets.evidence.idxmax() == "c"
    both = (adata.obs.drug == "ko_a+ko_c").to_numpy()
    control = (adata.obs.drug == "control").to_numpy()
    observed = adata.X[both].mean(0) - adata.X[control].mean(0)
    predicted = model.predict_shift(["ko_c+ko_a"]).X[0]
    np.testing.assert_allclose(predicted, observed, atol=0.15)


def test_combinations_only_can_be_fitted(combination_screen, train_genes, counts_setup):
    adata = combination_screen[combination_screen.obs.drug.isin(["control", "ko_a+ko_c"])].copy()
    setup = counts_setup | {
        "batch_key": None,
        "size_factor_key": None,
        "features_key": "knock_outs",
    }
    model = train_genes(adata, setup=setup)
    assert np.isfinite(model.predict_shift(["ko_a+ko_c", "ko_a"]).X).all()


def test_named_genes_have_no_posterior_to_minify_to(genes_model):
    with pytest.raises(ValueError, match="cannot be minified"):
        genes_model.minify_adata()


def test_a_call_that_the_averaged_probability_contradicts_is_ambiguous(genes_model):
    targets = genes_model.get_intervention_targets()
    contradicted = targets.is_target != (targets.probability > 0.5)
    assert targets.ambiguous[contradicted].all()
    between = targets.probability.between(0.1, 0.9, inclusive="neither")
    assert (targets.ambiguous == (between | contradicted)).all()


@pytest.fixture(scope="module")
def profile_model(request):
    """Model of one profile per knock-out of a chain, whose targets are known."""
    adata = request.getfixturevalue("profiles").copy()
    GIM.setup_anndata(adata, "knock_out", "wild type", perturbation_direction="lowers")
    model = GIM(adata, causal_space="genes", gene_likelihood="normal")
    known = {name: name for name in adata.var_names}
    search = GraphSearch(n_restarts=4, known_targets=known, has_off_targets=False)
    model.train(search=search, enable_progress_bar=False)
    return model


@pytest.mark.filterwarnings("ignore:.*fewer than 3 cells", "ignore:.*a single cell")
def test_one_profile_per_knock_out_finds_the_chain(profile_model):
    graph = profile_model.get_causal_graph().to_numpy() != 0
    assert graph[np.arange(9), np.arange(1, 10)].all()
    assert graph.sum() <= 20
    predicted = profile_model.predict_shift(profile_model.node_names_).X
    assert np.isfinite(predicted).all()
    assert (predicted.argmin(axis=1) == np.arange(10)).all()


@pytest.mark.filterwarnings("ignore:.*fewer than 3 cells", "ignore:.*a single cell")
def test_single_profiles_are_ranked_without_a_graph_by_what_is_special_about_them(profiles):
    adata = profiles.copy()
    GIM.setup_anndata(adata, "knock_out", "wild type", perturbation_direction="lowers")
    model = GIM(adata, causal_space="genes", gene_likelihood="normal", structure="given")
    model.train(search=GraphSearch(required=[]), enable_progress_bar=False)
    targets = model.get_intervention_targets()
    evidence = targets.evidence.to_numpy().reshape(10, 10)
    assert (evidence.argmax(axis=1) == np.arange(10)).all()
    np.testing.assert_array_equal(targets.evidence, -targets.marginal)
    is_own = targets.perturbation == targets.node
    assert targets.is_target[is_own].mean() > 0.8
    # Without a graph what follows a target is called one, too.
    assert targets.is_target[~is_own].mean() < 0.15


def test_direction_orients_the_evidence_of_counts(gene_counts, counts_setup, train_genes):
    """Knock-outs lower their target; who says that they raise it gets the opposite ranking."""
    evidence = {}
    for direction in ("lowers", "raises", "unknown"):
        setup = counts_setup | {"perturbation_direction": direction}
        model = train_genes(
            gene_counts.copy(),
            setup=setup,
            gene_likelihood="poisson",
            search=GraphSearch(n_restarts=0, n_walk_steps=1),
        )
        table = model.get_intervention_targets(["ko_a", "ko_b"])
        evidence[direction] = table.evidence.to_numpy().reshape(2, -1)
        uses_graph = model.fitted.named_nodes["uses_graph"]
        marginal = table.marginal.to_numpy().reshape(2, -1)
        residual = table.residual.to_numpy().reshape(2, -1) if uses_graph else marginal
    np.testing.assert_array_equal(evidence["lowers"], np.minimum(-marginal, -residual))
    np.testing.assert_array_equal(evidence["raises"], np.minimum(marginal, residual))
    assert (evidence["unknown"] >= 0).all()


def test_direction_speaks_against_nodes_that_moved_the_wrong_way(genes_screen, train_genes):
    search = GraphSearch(n_restarts=0, n_walk_steps=1)
    table = {}
    for direction in ("raises", "lowers", "unknown"):
        setup = {"perturbation_direction": direction}
        model = train_genes(genes_screen.copy(), setup=setup, search=search)
        table[direction] = model.get_intervention_targets()
    known, wrong = table["unknown"], {"raises": -1, "lowers": 1}
    for direction, sign in wrong.items():
        moved_wrong = known.is_target & (sign * known.effect > 0)
        evidence = table[direction].evidence
        assert (evidence[moved_wrong] < 0).all()
        kept = known.is_target & ~moved_wrong
        np.testing.assert_array_equal(evidence[kept], known.evidence[kept])
