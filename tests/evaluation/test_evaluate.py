import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scvi

from scgim.datasets import ProgramsWorld
from scgim.evaluation import (
    GIMPredictor,
    RidgeOnFeatures,
    ScreenKeys,
    Split,
    evaluate,
    judge,
    split,
)
from scgim.evaluation._evaluate import (
    all_baselines,
    check_new_names,
    check_training_remains,
    prepare,
    run_evaluation,
)
from scgim.evaluation._scoring import METRICS, ScoringSettings

SETTINGS = ScoringSettings(n_cells=10, n_genes=20)
ALWAYS = {
    "baseline": {
        "no effect",
        "mean of treated",
        "context mean",
        "same-dose mean",
        "same-class mean",
        "additive",
        "dose interpolation",
        "other contexts",
        "nearest drug",
        "5 nearest drugs",
        "ridge",
        "bilinear",
        "MLP ensemble",
    },
    "ablation": {"generator on PCA"},
    "ceiling": {"technical duplicate", "autoencoder", "oracle intervention"},
}


# how few cells are learnt from is no matter here
pytestmark = pytest.mark.filterwarnings("ignore:Unseen perturbations")


@pytest.fixture
def seeded():
    before = scvi.settings.seed
    scvi.settings.seed = 0
    yield
    scvi.settings.seed = before


class Collapsed:
    """Says the same of every condition."""

    name = "collapsed"

    def fit(self, screen):
        self.mean = screen.shift.mean(axis=0)
        self.control = screen.expression[screen.is_control]

    def predict_shift(self, conditions):
        return np.tile(self.mean, (len(conditions), 1))

    def predict_cells(self, conditions, n_cells, *, seed):
        cells = self.control[:n_cells] + self.mean.astype(np.float32)
        return np.tile(cells, (len(conditions), 1, 1))


@pytest.fixture(scope="module")
def adata(small_world):
    return small_world.screen()


@pytest.fixture(scope="module")
def chosen(adata):
    return split(adata, "perturbation", fraction=0.4, seed=3)


@pytest.fixture(scope="module")
def trained(adata, chosen):
    gim = GIMPredictor(n_nodes=4, measure_gauge=False, train_kwargs={"max_epochs": 30})
    return run_evaluation(gim, adata, chosen, settings=SETTINGS), gim


@pytest.fixture(scope="module")
def collapsed(adata, chosen):
    return evaluate(Collapsed(), adata, chosen, settings=SETTINGS)


def test_there_is_one_row_per_predictor_condition_and_metric(collapsed, chosen):
    keys = ["predictor", "perturbation", "dose", "context", "metric"]
    assert not collapsed.duplicated(keys).any()
    n_predictors = 1 + sum(map(len, ALWAYS.values()))
    assert len(collapsed) == n_predictors * len(chosen.held_out) * len(METRICS)
    assert (collapsed["seed"] == 3).all()


@pytest.mark.parametrize("kind", ALWAYS)
def test_baselines_ablation_and_ceilings_are_always_there(collapsed, kind):
    assert set(collapsed.query("kind == @kind")["predictor"]) == ALWAYS[kind]
    assert {baseline.name for baseline in all_baselines()} == ALWAYS["baseline"]


def test_what_does_not_apply_says_why(collapsed):
    assert (collapsed["value"].isna() == (collapsed["reason"] != "")).all()
    reasons = collapsed.groupby("predictor")["reason"].agg(set)
    assert reasons["context mean"] == {"the screen has no contexts"}
    assert reasons["additive"] == {"not a combination"}
    assert reasons["dose interpolation"] == {"not measured at another dose"}
    assert reasons["oracle intervention"] == {"only for a GIM"}


def test_a_collapsed_predictor_scores_chance_and_is_not_called_better(collapsed):
    means = collapsed.query("predictor == 'collapsed'").groupby("metric")["value"].mean()
    for metric in ("rank", "discrimination l1", "discrimination cosine"):
        assert means[metric] == pytest.approx(0.5)
    assert judge(collapsed, "collapsed").word != "better"


def test_the_screen_is_not_changed(small_world, chosen):
    adata = small_world.screen()
    before = adata.copy()
    evaluate(Collapsed(), adata, chosen, settings=SETTINGS)
    assert list(adata.uns) == list(before.uns)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert (adata.X != before.X).sum() == 0


def test_evaluation_is_repeatable(adata, chosen, collapsed):
    again = evaluate(Collapsed(), adata, chosen, settings=SETTINGS)
    pd.testing.assert_frame_equal(collapsed, again)


def test_a_gim_has_ceilings_and_intervals(trained):
    scores = trained[0].scores
    distance = scores.query("metric == 'energy distance'").groupby("predictor")["value"].count()
    assert distance["autoencoder"] == distance["oracle intervention"] == distance["GIM"]
    coverage = scores.query("predictor == 'GIM' and metric == 'coverage of the interval'")["value"]
    assert coverage.between(0, 1).all()


def test_a_trained_model_scores_as_the_predictor_that_trained_it(trained, adata, chosen):
    evaluation, gim = trained
    again = evaluate(gim.model, adata, chosen, settings=SETTINGS)
    own = [table.query("predictor == 'GIM'")["value"] for table in (evaluation.scores, again)]
    np.testing.assert_array_equal(*own)


def test_its_cells_as_an_anndata_are_scored_in_the_same_way(trained, adata, chosen):
    evaluation, gim = trained
    settings = ScoringSettings(n_cells=100, n_genes=20)
    conditions = evaluation.truth.conditions
    cells = gim.model.predict(conditions, n_cells=100, seed=0)
    other = {"outside": cells, "ridge 2": RidgeOnFeatures()}
    found = run_evaluation(other, adata, chosen, settings=settings)
    expected = gim.predict_cells(conditions, 100, seed=0).mean(axis=1)
    np.testing.assert_allclose(
        found.shifts["outside"], expected - evaluation.screen.control_mean, atol=1e-4
    )
    twins = found.scores[found.scores["predictor"].isin(["ridge", "ridge 2"])]
    np.testing.assert_array_equal(
        *(table["value"] for _, table in twins.groupby("predictor", sort=False))
    )


def test_a_model_that_saw_held_out_conditions_is_refused(trained, adata):
    other = split(adata, "perturbation", fraction=0.4, seed=4)
    with pytest.raises(ValueError, match=r"This GIM was trained on .* of the held-out conditions"):
        evaluate(trained[1].model, adata, other, settings=SETTINGS)


def test_predictors_and_truth_share_no_control_cell(adata, chosen):
    screen, truth = prepare(adata, chosen, SETTINGS)
    n_control = int((adata.obs["drug"] == "vehicle").sum())
    assert screen.is_control.sum() + len(truth.control_cells[""]) == n_control
    shared = set(screen.adata.obs_names) & set(truth.cells.obs_names)
    assert not shared


def test_a_split_that_holds_out_everything_is_refused(adata):
    treated = adata.obs.query("drug != 'vehicle'")[["drug", "dose"]].drop_duplicates()
    everything = Split(
        "perturbation", 0, ScreenKeys(), None, treated.astype({"drug": str}).reset_index(drop=True)
    )
    with pytest.raises(
        ValueError, match=r"holds out all .* so no perturbation is left to train on"
    ):
        evaluate(Collapsed(), adata, everything)


def test_a_name_that_is_taken_is_refused(adata, chosen):
    with pytest.raises(ValueError, match="The names 'ridge' are used more than once"):
        evaluate({"ridge": RidgeOnFeatures()}, adata, chosen)


def test_a_condition_of_one_cell_has_a_mean_but_no_distribution(adata, chosen):
    held_out = np.flatnonzero(chosen.is_held_out(adata))
    condition = adata.obs.iloc[held_out[0]][["drug", "dose"]]
    same = (adata.obs[["drug", "dose"]] == condition).all(axis=1).to_numpy(copy=True)
    same[held_out[0]] = False
    scores = evaluate(Collapsed(), adata[~same].copy(), chosen, settings=SETTINGS)
    own = scores.query("predictor == 'collapsed' and n_cells == 1").set_index("metric")
    assert np.isfinite(own.loc["weighted MSE", "value"])
    assert own.loc["energy distance", "reason"] == "one held-out cell"
    duplicate = scores.query("predictor == 'technical duplicate' and n_cells == 1")
    assert set(duplicate["reason"]) == {"fewer than two held-out cells"}


@pytest.fixture
def knock_outs():
    """Knock-outs in two replicates, no doses, no features."""
    rng = np.random.default_rng(0)
    means = np.full((5, 30), 3.0)
    means[np.arange(1, 5), np.arange(4)] = 12.0
    names = np.array(["NT", "A", "B", "C", "D"])
    rows = [(k, r) for k in range(5) for r in ("r1", "r2") for _ in range(40 if k == 0 else 20)]
    obs = pd.DataFrame({"gene": [names[k] for k, _ in rows], "rep": [r for _, r in rows]})
    counts = np.array([rng.poisson(means[k]) for k, _ in rows], dtype=np.float32)
    return ad.AnnData(counts, obs=obs.set_axis(obs.index.astype(str)))


@pytest.mark.slow
def test_on_a_screen_that_it_can_learn_gim_is_near_its_oracle_and_above_the_means(seeded):
    world = ProgramsWorld(0, n_genes=200, n_control=600, n_cells=25)
    adata = world.screen()
    gim = GIMPredictor(measure_gauge=False, train_kwargs={"max_epochs": 60})
    chosen = split(adata, "perturbation", seed=0)
    scores = evaluate(gim, adata, chosen)
    means = scores.groupby(["metric", "predictor"])["value"].mean()
    r2, rank = means["weighted R² from control"], means["discrimination l2"]
    assert r2["GIM"] > 0.3
    assert r2["mean of treated"] < 0.1 < r2["ridge"] < r2["GIM"]
    assert r2["GIM"] < r2["oracle intervention"] + 0.05
    assert rank["no effect"] == pytest.approx(0.5)
    assert rank["GIM"] > 0.7


def test_screen_without_features_or_doses_but_with_contexts(knock_outs, seeded):
    keys = ScreenKeys("gene", "NT", dose=None, features=None)
    chosen = split(
        knock_outs, "perturbation_in_context", keys=keys, context="rep", fraction=0.5, seed=0
    )
    gim = GIMPredictor(n_nodes=4, measure_gauge=False, train_kwargs={"max_epochs": 200})
    scores = evaluate(gim, knock_outs, chosen, settings=SETTINGS)
    assert set(scores["context"]) <= {"r1", "r2"}
    effect = (
        scores.query("metric == 'weighted R² from control'").groupby("predictor")["value"].mean()
    )
    assert effect["GIM"] > 0.5
    assert np.isnan(effect["ridge"])
    assert effect["context mean"] < 0.5 < effect["other contexts"]
    reasons = scores.groupby("predictor")["reason"].agg(set)
    assert reasons["ridge"] == {"the screen has no features of perturbations"}
    assert reasons["same-dose mean"] == {"the screen has no doses"}


def test_an_unseen_perturbation_without_features_is_no_crash(knock_outs):
    keys = ScreenKeys("gene", "NT", dose=None, features=None)
    chosen = split(knock_outs, "perturbation", keys=keys, fraction=0.25, seed=0)
    name = str(chosen.held_out["gene"].iloc[0])
    gim = GIMPredictor(n_nodes=4, measure_gauge=False, train_kwargs={"max_epochs": 2})
    scores = evaluate(gim, knock_outs, chosen, settings=SETTINGS)
    reasons = set(scores.query("predictor == 'GIM'")["reason"])
    assert reasons == {f"not in training, and without features: {name!r}"}


def test_a_split_without_training_perturbations_is_refused():
    message = (
        "The split holds out all 9 treated conditions, so no perturbation is left to train on and "
        "every prediction would be a guess. Hold out fewer."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_training_remains(0, n_held_out=9)


def test_names_that_are_taken_are_refused():
    message = (
        "The names 'ridge' are used more than once among predictors, baselines and ceilings. Give each "
        "predictor a name of its own."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_new_names({"ridge"})
