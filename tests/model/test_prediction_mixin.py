from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from scgim.model import GIM
from scgim.model._conditions import prepare_conditions
from scgim.scm import scale_node, set_node


def _dense(adata):
    return adata.X.toarray() if sp.issparse(adata.X) else np.asarray(adata.X)


@pytest.fixture(scope="module")
def control(screen):
    return screen[screen.obs.drug == "vehicle"].copy()


def test_predict_gives_cells_of_each_condition_with_its_columns(model):
    conditions = pd.DataFrame({"drug": ["drug_a", "vehicle"], "dose": [1.0, 0.0]})
    prediction = model.predict(conditions, n_cells=7, seed=0)
    assert prediction.shape == (14, 24)
    assert list(prediction.obs) == [
        "drug",
        "dose",
        "is_seen",
        "is_dose_extrapolated",
        "feature_distance",
        "feature_similarity",
        "nearest_perturbation",
        "is_new_context",
        "is_new_in_context",
    ]
    assert prediction.obs.drug.tolist() == ["drug_a"] * 7 + ["vehicle"] * 7
    assert prediction.obs.dose.tolist() == [1.0] * 7 + [0.0] * 7
    assert prediction.var_names.tolist() == [f"gene_{i}" for i in range(24)]
    assert prediction.uns["scgim"]["space"] == "counts"
    assert sp.issparse(prediction.X)
    assert prediction.obs_names.is_unique


def test_conditions_may_be_a_list_of_pairs(model):
    pairs = model.predict([("drug_a", 1.0)], n_cells=3, seed=0)
    table = model.predict(pd.DataFrame({"drug": ["drug_a"], "dose": [1.0]}), n_cells=3, seed=0)
    np.testing.assert_array_equal(_dense(pairs), _dense(table))
    pd.testing.assert_frame_equal(pairs.obs, table.obs)


def test_outputs_are_counts_shares_of_ten_thousand_or_nodes(model):
    counts, shares, nodes = (
        model.predict([("drug_a", 1.0)], n_cells=5, seed=0, output=output)
        for output in ("counts", "normalized", "nodes")
    )
    np.testing.assert_array_equal(_dense(counts), _dense(counts).round())
    np.testing.assert_allclose(_dense(shares).sum(1), 1e4, rtol=1e-4)
    assert nodes.var_names.tolist() == model.node_names_
    assert [p.uns["scgim"]["space"] for p in (counts, shares, nodes)] == [
        "counts",
        "normalized",
        "nodes",
    ]


def test_dose_zero_and_control_are_exactly_equal(model):
    for output in ("counts", "normalized", "nodes"):
        zero, control, empty_pair = (
            model.predict([condition], n_cells=9, seed=3, output=output)
            for condition in (("drug_a", 0.0), ("vehicle", 0.0), ("drug_a+drug_b", 0.0))
        )
        np.testing.assert_array_equal(_dense(zero), _dense(control))
        np.testing.assert_array_equal(_dense(empty_pair), _dense(control))


def test_the_same_seed_gives_the_same_cells_and_another_seed_others(model):
    one, same, other = (
        _dense(model.predict([("drug_a", 1.0)], n_cells=9, seed=seed)) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_without_a_seed_predictions_differ(model):
    one, other = (_dense(model.predict([("drug_a", 1.0)], n_cells=9)) for _ in range(2))
    assert (one != other).any()


@pytest.mark.parametrize("seed", [None, 3])
def test_random_states_of_the_user_are_untouched(model, control, seed):
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model.predict([("drug_a", 1.0), ("drug_x", 1.0)], n_cells=5, seed=seed)
    model.predict([("drug_a", 1.0)], adata=control, seed=seed)
    model.predict_shift([("drug_x", 1.0)])
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_combinations_are_order_free_and_add_on_the_nodes(model):
    def nodes(label):
        return _dense(model.predict([(label, 2.0)], n_cells=6, seed=0, output="nodes"))

    np.testing.assert_array_equal(nodes("drug_a+drug_c"), nodes("drug_c+drug_a"))
    np.testing.assert_array_equal(nodes("drug_a+vehicle"), nodes("drug_a"))
    total = nodes("drug_a") + nodes("drug_c") + nodes("drug_x") - 2 * nodes("vehicle")
    np.testing.assert_allclose(nodes("drug_a+drug_c+drug_x"), total, atol=1e-4)


def test_unseen_perturbations_are_predicted_from_registered_features(model):
    prediction = model.predict([("drug_x", 1.0), ("drug_a", 1.0)], n_cells=2)
    assert prediction.obs.is_seen.tolist() == [False, False, True, True]
    assert prediction.obs.feature_distance.iloc[0] > 0
    assert prediction.obs.feature_distance.iloc[-1] == 0


def test_unseen_perturbations_are_predicted_from_given_features(model, screen):
    given = screen.uns["drug_features"].loc[["drug_x"]].rename(index={"drug_x": "brand_new"})
    new, registered = (
        model.predict([(name, 1.0)], n_cells=4, seed=0, output="nodes", features=features)
        for name, features in (("brand_new", given), ("drug_x", None))
    )
    np.testing.assert_allclose(_dense(new), _dense(registered), atol=1e-5)
    shuffled = given[given.columns[::-1]].assign(more=1.0)
    other = model.predict(
        [("brand_new", 1.0)], n_cells=4, seed=0, output="nodes", features=shuffled
    )
    np.testing.assert_array_equal(_dense(other), _dense(new))


def test_features_far_from_all_known_ones_are_marked(model, screen):
    far = screen.uns["drug_features"].iloc[[0]] * 0 + 50.0
    prediction = model.predict([("far", 1.0)], n_cells=1, features=far.set_axis(["far"]))
    assert prediction.obs.feature_distance.iloc[0] > 1


def test_unseen_perturbations_without_a_generator_say_what_to_do(plain_model):
    message = (
        "^This model cannot predict unseen perturbations: no `features_key` was given to "
        r"`GIM\.setup_anndata`\. Register a screen with perturbation features and train again\.$"
    )
    with pytest.raises(RuntimeError, match=message):
        plain_model.predict(["drug_x"])


def test_a_dose_outside_what_was_run_is_marked(model):
    prediction = model.predict([("drug_a", 1.0), ("drug_a", 300.0)], n_cells=1)
    assert prediction.obs.is_dose_extrapolated.tolist() == [False, True]


def test_a_dose_far_outside_is_marked_with_a_warning(model):
    message = (
        r"^1 conditions have a dose more than 10 times outside the trained range 0\.1 to 100, for "
        r"example 5000\. Is it in the unit of training\? They are predicted on the fitted dose "
        r"response and marked in the column `is_dose_extrapolated`\.$"
    )
    with pytest.warns(UserWarning, match=message):
        prediction = model.predict([("drug_a", 5000.0)], n_cells=2)
    assert prediction.obs.is_dose_extrapolated.all()


def test_counterfactual_rows_are_the_given_cells_condition_by_condition(model, control):
    prediction = model.predict([("drug_a", 10.0), ("drug_x", 1.0)], adata=control, seed=0)
    assert prediction.n_obs == 2 * control.n_obs
    assert prediction.obs.control_cell.tolist() == list(control.obs_names) * 2
    assert prediction.obs.drug.tolist() == ["drug_a"] * 60 + ["drug_x"] * 60


def test_counterfactual_under_the_control_gives_the_nodes_back(model, control):
    replayed = model.predict([("vehicle", 0.0)], adata=control, output="nodes")
    np.testing.assert_allclose(
        replayed.X, model.get_latent_representation(control), rtol=1e-4, atol=1e-4
    )


def test_counterfactual_moves_every_cell_by_the_same_total_effect(model, control):
    moved = model.predict([("drug_a", 10.0)], adata=control, output="nodes")
    change = _dense(moved) - model.get_latent_representation(control)
    np.testing.assert_allclose(change, np.tile(change[:1], (len(change), 1)), atol=1e-3)
    assert np.abs(change[0]).max() > 0.05


def test_a_prediction_is_the_do_query_of_its_intervention(model):
    effects = model.get_dose_response(["drug_a"], doses=[10.0]).set_index("node").effect
    graph = model.get_causal_graph().to_numpy()
    control_sd = np.linalg.norm(np.linalg.inv(np.eye(3) - graph), axis=0)
    shifts = dict(effects * control_sd)
    # Whether genes follow the drug's own dose response or one in common, the fit knows.
    prepared = model._prepare([("drug_a", 10.0)], None)
    strength = model.fitted.direct.strength(prepared.distribution, prepared.log10_dose)[0]
    genes = model.get_intervention_targets(["drug_a"], level="genes").set_index("gene").effect
    shifts |= dict(genes * strength)
    by_hand = model.do(shifts, n_cells=8, seed=0, output="normalized")
    predicted = model.predict([("drug_a", 10.0)], n_cells=8, seed=0, output="normalized")
    np.testing.assert_allclose(by_hand.X, predicted.X, rtol=1e-4)
    assert by_hand.obs.intervention.str.contains("program_0=").all()


def test_a_gene_is_hit_alone_and_its_share_follows_the_log_fold(model):
    control = model.do({"program_0": 0.0}, n_cells=40, seed=0, output="normalized").X
    halved = model.do({"gene_3": float(np.log(0.5))}, n_cells=40, seed=0, output="normalized").X
    ratio = halved / control
    others = np.delete(ratio, 3, axis=1)
    np.testing.assert_allclose(others, others[:, :1] * np.ones(23), rtol=1e-4)
    np.testing.assert_allclose(ratio[:, 3] / others[:, 0], 0.5, rtol=1e-4)
    np.testing.assert_allclose(halved.sum(1), 1e4, rtol=1e-4)


def test_what_is_no_shift_of_a_gene_is_refused(model, genes_model):
    with pytest.raises(ValueError, match=r"'gene_3' is a gene, a leaf .* got `kind='set'`"):
        model.do({"gene_3": 1.0}, kind="set")
    with pytest.raises(ValueError, match="got an intervention on a node"):
        model.do({"gene_3": set_node(0.0)})
    with pytest.raises(ValueError, match="not a node of the causal graph"):
        genes_model.do({"program_1": 1.0})


def test_doing_nothing_is_the_control(model, control):
    nothing = model.do({"program_1": 0.0}, n_cells=5, seed=0)
    vehicle = model.predict([("vehicle", 0.0)], n_cells=5, seed=0)
    np.testing.assert_array_equal(_dense(nothing), _dense(vehicle))
    assert model.do({"program_1": 1.0}, adata=control).n_obs == control.n_obs


@pytest.mark.parametrize("name", ["model", "genes_model", "counts_model"])
def test_a_node_that_is_set_has_its_value_and_no_parents(request, name):
    model = request.getfixturevalue(name)
    node = model.node_names_[-1]
    cells = model.do({node: 1.5}, kind="set", n_cells=50, output="nodes", seed=0)
    np.testing.assert_allclose(cells[:, node].X, 1.5, rtol=1e-5)
    free = model.do({node: 0.0}, n_cells=50, output="nodes", seed=0)
    graph = model.get_causal_graph()
    others = [n for n in model.node_names_ if n != node and graph.loc[node, n] == 0]
    first = [n for n in others if not graph[n].any()]
    np.testing.assert_array_equal(cells[:, first].X, free[:, first].X)


@pytest.mark.parametrize("name", ["model", "genes_model"])
def test_noise_can_be_scaled_beside_other_interventions(request, name):
    model = request.getfixturevalue(name)
    graph = model.get_causal_graph()
    root = next(n for n in graph if not graph[n].any())
    other = next(n for n in graph if n != root)
    query = {root: scale_node(3.0), other: set_node(0.5, noise_scale=0.1)}
    cells = model.do(query, n_cells=400, output="nodes", seed=0)
    free = model.do({root: 0.0}, n_cells=400, output="nodes", seed=0)
    ratio = cells[:, root].X.std() / free[:, root].X.std()
    assert ratio == pytest.approx(3.0, rel=1e-4)
    assert cells[:, other].X.mean() == pytest.approx(0.5, abs=0.1)
    assert cells.obs.intervention.iloc[0] == f"{root}*3, {other}:=0.5*0.1"


def test_unknown_nodes_and_shifts_that_are_no_numbers_are_named(model):
    message = (
        r"^'programm_1' is not a node of the causal graph or a measured gene\. The nodes closest to it "
        r"are \['program_1', 'program_2', 'program_0'\], the genes \['gene_0', .*\]\. Intervene on these\.$"
    )
    with pytest.raises(ValueError, match=message):
        model.do({"programm_1": 1.0})
    with pytest.raises(ValueError, match=r"^The intervention on 'program_1' is nan, but it must"):
        model.do({"program_1": float("nan")})


def test_mean_shift_comes_with_an_interval_and_is_zero_for_the_control(model):
    shift = model.predict_shift([("drug_a", 10.0), ("drug_x", 10.0), ("vehicle", 0.0)])
    assert shift.shape == (3, 24)
    assert (shift.layers["lower"] <= shift.X).all()
    assert (shift.layers["upper"] >= shift.X).all()
    np.testing.assert_array_equal(shift.X[2], 0)
    width = shift.layers["upper"] - shift.layers["lower"]
    assert width[0].mean() > 0
    assert shift.uns["scgim"]["level"] == 0.8


def test_a_surer_interval_is_wider(model):
    narrow, wide = (model.predict_shift([("drug_x", 10.0)], level=level) for level in (0.5, 0.95))
    assert (wide.layers["upper"] > narrow.layers["upper"]).all()
    np.testing.assert_array_equal(wide.X, narrow.X)


def test_mean_shift_agrees_with_sampled_cells(model):
    shift = model.predict_shift([("drug_a", 100.0)]).X[0]
    cells = [
        _dense(model.predict([condition], n_cells=4000, seed=0))
        for condition in (("drug_a", 100.0), ("vehicle", 0.0))
    ]
    treated, control = (np.log1p(x / x.sum(1, keepdims=True) * 1e4).mean(0) for x in cells)
    assert np.abs(shift - (treated - control)).max() < 0.25
    assert np.corrcoef(shift, treated - control)[0, 1] > 0.97


def test_predicted_cells_can_be_joined_with_observed_ones(model, screen, tmp_path):
    prediction = model.predict([("drug_a", 1.0)], n_cells=4)
    joined = ad.concat(
        {"observed": screen, "predicted": prediction}, label="kind", index_unique="-"
    )
    assert joined.n_obs == screen.n_obs + 4
    prediction.write_h5ad(tmp_path / "prediction.h5ad")
    back = ad.read_h5ad(tmp_path / "prediction.h5ad")
    np.testing.assert_array_equal(_dense(back), _dense(prediction))


def test_batches_and_covariates_choose_the_control_cells_that_are_drawn(covariate_model):
    table = pd.DataFrame(
        {"drug": ["drug_a"] * 2, "dose": [1.0] * 2, "lane": ["lane_1", "lane_2"], "donor": "x"}
    )
    prediction = covariate_model.predict(table, n_cells=5, seed=0)
    assert prediction.obs.lane.tolist() == ["lane_1"] * 5 + ["lane_2"] * 5
    assert prediction.obs.donor.tolist() == ["x"] * 10
    assert np.isfinite(_dense(prediction)).all()


def test_an_unknown_batch_is_named(covariate_model):
    table = pd.DataFrame({"drug": ["drug_a"], "dose": [1.0], "lane": ["lane_7"]})
    message = (
        r"^`conditions\['lane'\]` has 'lane_7', which was not in training\. The values closest to "
        r"it are \['lane_2', 'lane_1'\]\. Pass one of them, or leave the column out to average over "
        r"the control cells\.$"
    )
    with pytest.raises(ValueError, match=message):
        covariate_model.predict(table)


def test_counterfactual_keeps_the_covariates_of_each_cell(covariate_model):
    cells = covariate_model.adata[covariate_model.adata.obs.drug == "vehicle"].copy()
    replayed = covariate_model.predict([("vehicle", 0.0)], adata=cells, output="nodes")
    expected = covariate_model.get_latent_representation(cells)
    np.testing.assert_allclose(replayed.X, expected, rtol=1e-4, atol=1e-4)


def test_size_factors_take_the_place_of_the_total_counts_in_all_but_their_scale(covariate_model):
    cells = covariate_model.adata[covariate_model.adata.obs.drug == "vehicle"].copy()
    predicted = covariate_model.predict([("vehicle", 0.0)], adata=cells, seed=0)
    totals = np.asarray(predicted.X.sum(1)).ravel()
    assert np.corrcoef(totals, cells.obs["size"])[0, 1] > 0.6
    assert totals.mean() == pytest.approx(covariate_model.adata.X.sum(1).mean(), rel=0.1)


def test_predicting_before_training_says_what_to_do(screen):
    adata = screen.copy()
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose", features_key="drug_features")
    gim = GIM(adata, n_nodes=3)
    for method, arguments in {
        "predict": ([("drug_a", 1.0)],),
        "predict_shift": ([("drug_a", 1.0)],),
        "do": ({"program_0": 1.0},),
        "get_intervention_targets": (),
        "get_dose_response": (),
        "get_causal_graph": (),
        "get_generator_report": (),
        "fix_gauge": (),
        "annotate": (),
    }.items():
        message = (
            rf"^`GIM\.{method}` needs a trained model, and this one is not\. "
            r"Call `GIM\.train` first\.$"
        )
        with pytest.raises(RuntimeError, match=message):
            getattr(gim, method)(*arguments)


def test_given_cells_need_the_genes_of_training(model, screen):
    message = (
        r"^`adata` lacks 14 of the 24 genes of training: 'gene_10', 'gene_11', 'gene_12', "
        r"'gene_13', 'gene_14' and 9 more\. Pass cells with the genes of training\.$"
    )
    with pytest.raises(ValueError, match=message):
        model.predict([("drug_a", 1.0)], adata=screen[:, :10].copy())
    message = (
        r"^`adata` has 24 genes that differ in order or number from the 24 of training\. Select "
        r"them with `adata\[:, model\.get_var_names\(\)\]`\.$"
    )
    with pytest.raises(ValueError, match=message):
        model.predict([("drug_a", 1.0)], adata=screen[:, ::-1].copy())


def test_output_is_one_of_its_choices(model):
    with pytest.raises(ValueError, match=r"`output='shares'`"):
        model.predict([("drug_a", 1.0)], output="shares", n_cells=2)


def test_cells_of_an_unseen_drug_spread_as_widely_as_it_is_uncertain(model, monkeypatch):
    monkeypatch.setattr(model.interventions.generator, "p_value", 0.001)
    conditions = [("drug_x", 10.0), ("drug_a", 10.0)]
    nodes = model.predict(conditions, n_cells=3000, output="nodes", seed=0).X.reshape(2, 3000, -1)
    control = model.predict([("vehicle", 0.0)], n_cells=3000, output="nodes", seed=0).X
    prepared = prepare_conditions(model, conditions, None)
    drawn = prepared.draw(3000, np.random.default_rng(0)).shift.numpy()[:, 0]
    effect = np.linalg.inv(np.eye(drawn.shape[1]) - model.get_causal_graph().to_numpy())
    extra = np.trace(np.cov(nodes[0].T) - np.cov(control.T))
    assert extra == pytest.approx(np.trace(effect.T @ np.cov(drawn.T) @ effect), rel=0.25)
    assert extra > 5 * abs(np.trace(np.cov(nodes[1].T) - np.cov(control.T)))


def test_mean_shift_of_an_unseen_drug_averages_over_its_interventions(model, monkeypatch):
    generator = model.interventions.generator
    monkeypatch.setattr(generator, "p_value", 0.001)
    averaged = model.predict_shift([("drug_x", 10.0)]).X
    cells = model.predict([("drug_x", 10.0), ("vehicle", 0.0)], n_cells=4000, seed=0)
    counts = _dense(cells)
    mean = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).reshape(2, 4000, -1).mean(1)
    np.testing.assert_allclose(averaged[0], mean[0] - mean[1], atol=0.2)
    monkeypatch.setattr(
        generator,
        "draw_residuals",
        lambda n, unknown, d, rng: (np.zeros((d, len(n), 3)), np.zeros((d, len(n)))),
    )
    certain = model.predict_shift([("drug_x", 10.0)]).X
    assert np.abs(averaged - certain).max() > 0.02


def test_every_prediction_says_how_far_it_is_from_training(model):
    predicted = model.predict(
        [("vehicle", 0.0), ("drug_a", 1.0), ("drug_x", 1.0)], n_cells=2, seed=0
    )
    obs = predicted.obs.iloc[::2]
    assert obs["feature_similarity"].tolist()[:2] == [1.0, 1.0]
    assert 0 < obs["feature_similarity"].iloc[2] <= 1
    assert obs["nearest_perturbation"].tolist()[:2] == ["", "drug_a"]
    assert obs["nearest_perturbation"].iloc[2].startswith("drug_")
    assert not obs["is_new_context"].any()
    shift = model.predict_shift([("drug_x", 1.0)])
    assert {"feature_similarity", "nearest_perturbation", "is_new_context"} <= set(shift.obs)


def test_a_model_abstains_from_what_training_does_not_cover(model, screen, tmp_path):
    conditions = [("drug_a", 1.0), ("drug_a", 150.0), ("drug_b", 1.0)]
    low, high = model.screen.dose_range("drug_a")
    assert low <= 1.0 <= high < 150.0
    predicted = model.predict(conditions, n_cells=3, abstain=True, seed=0)
    assert predicted.obs["drug"].tolist() == ["drug_a"] * 3 + ["drug_b"] * 3
    abstained = predicted.uns["scgim"]["abstained"]
    assert abstained["dose"].tolist() == [150.0]
    assert abstained["reason"].tolist() == ["dose outside the doses that were run"]
    predicted.write_h5ad(tmp_path / "predicted.h5ad")
    kept = model.predict([conditions[0], conditions[2]], n_cells=3, abstain=True, seed=0)
    np.testing.assert_array_equal(_dense(kept), _dense(predicted))
    assert len(kept.uns["scgim"]["abstained"]) == 0
    with pytest.raises(ValueError, match="With `abstain=True` nothing is left to predict"):
        model.predict([conditions[1]], abstain=True)


def test_a_context_without_control_cells_is_new_and_cannot_be_drawn_from(
    covariate_model, monkeypatch
):
    fit = covariate_model.fitted
    is_first = fit.statistics.control_batch == 0
    categories = np.where(is_first[:, None], 0, 1)
    statistics = replace(fit.statistics, control_categories=categories)
    monkeypatch.setattr(covariate_model, "_fitted", replace(fit, statistics=statistics))
    lanes = list(covariate_model.screen.batches)
    donors = list(covariate_model.screen.categorical_covariates["donor"])
    asked = pd.DataFrame(
        {"drug": "drug_a", "dose": 1.0, "lane": lanes[:1] * 2, "donor": donors[:2]}
    )
    assert covariate_model.predict_shift(asked).obs["is_new_context"].tolist() == [False, True]
    with pytest.raises(ValueError, match="No control cell of training has lane="):
        covariate_model.predict(asked, n_cells=2)
    kept = covariate_model.predict(asked, n_cells=2, abstain=True)
    assert kept.obs["donor"].tolist() == donors[:1] * 2


def test_a_drug_that_was_never_run_in_a_known_batch_is_marked_and_still_predicted(make, trained):
    adata = make(3)
    has_drug_a = adata.obs["drug"].astype(str).str.contains("drug_a")
    adata.obs.loc[has_drug_a, "lane"] = "lane_1"
    model = trained(adata, setup={"batch_key": "lane"})
    asked = pd.DataFrame(
        {
            "drug": ["drug_a", "drug_a", "drug_b", "drug_x", "vehicle", "drug_a"],
            "dose": [1.0, 1.0, 1.0, 1.0, 0.0, 1.0],
            "lane": ["lane_1", "lane_2", "lane_2", "lane_2", "lane_2", np.nan],
        }
    )
    shift = model.predict_shift(asked)
    assert shift.obs["is_new_in_context"].tolist() == [False, True, False, False, False, False]
    assert not shift.obs["is_new_context"].any()
    kept = model.predict(asked, n_cells=1, abstain=True, seed=0)
    assert kept.n_obs == len(asked)
    assert kept.obs["is_new_in_context"].tolist()[1]


def test_an_intervention_by_hand_is_made_on_cells_of_the_context_that_is_named(covariate_model):
    node = covariate_model.node_names_[0]
    for lane in ("lane_1", "lane_2"):
        control = pd.DataFrame({"drug": ["vehicle"], "dose": [0.0], "lane": [lane]})
        expected = covariate_model.predict(control, n_cells=6, output="normalized", seed=0)
        cells = covariate_model.do(
            {node: 0.0}, n_cells=6, context={"lane": lane}, output="normalized", seed=0
        )
        np.testing.assert_allclose(cells.X, expected.X, rtol=1e-5)
        assert cells.obs["lane"].tolist() == [lane] * 6
    with pytest.raises(ValueError, match="`context` has 'lan'"):
        covariate_model.do({node: 0.0}, context={"lan": "lane_1"})


def test_mean_shift_of_a_batch_is_over_its_control_cells(covariate_model, monkeypatch):
    lanes = pd.DataFrame({"drug": "drug_a", "dose": 100.0, "lane": ["lane_1", "lane_2", "lane_1"]})
    by_lane = covariate_model.predict_shift(lanes)
    np.testing.assert_array_equal(by_lane.X[0], by_lane.X[2])
    assert not np.array_equal(by_lane.X[0], by_lane.X[1])
    fit = covariate_model.fitted
    of_lane = fit.statistics.control_batch == covariate_model.screen.batches.index("lane_2")
    names = [f"control_{name}" for name in ("library", "batch", "categories", "continuous")]
    kept = {name: getattr(fit.statistics, name)[of_lane] for name in names}
    statistics = replace(fit.statistics, **kept)
    monkeypatch.setattr(covariate_model, "_fitted", replace(fit, statistics=statistics))
    alone = covariate_model.predict_shift([("drug_a", 100.0)])
    np.testing.assert_allclose(by_lane.X[1], alone.X[0], atol=1e-7)
