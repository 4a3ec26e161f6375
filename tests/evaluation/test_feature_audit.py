import numpy as np
import pandas as pd
import pytest
import torch

from scgim.datasets import ProgramsWorld
from scgim.evaluation import (
    FeatureAudit,
    MeanOfTreated,
    RefittedGIM,
    RidgeOnFeatures,
    ScreenKeys,
    TrainingScreen,
    audit_features,
    join_audits,
    split,
)
from scgim.evaluation._feature_audit import audit_on, check_can_be_audited, unseen_perturbations


@pytest.fixture(scope="module")
def wide_world():
    """Enough unseen drugs for an interval."""
    return ProgramsWorld(
        2, n_nodes=4, n_classes=4, n_genes=60, n_control=300, n_cells=12, n_drugs=24, n_unseen=16
    )


@pytest.fixture(scope="module")
def wide_screen(wide_world):
    return TrainingScreen(wide_world.screen())


@pytest.fixture(scope="module")
def unseen(wide_world):
    held_out = wide_world.held_out.query("split == 'unseen_drug' and dose > 0.1")
    return held_out[["drug", "dose"]].reset_index(drop=True)


@pytest.fixture(scope="module")
def audit_with_truth(wide_world, wide_screen, unseen):
    truth = wide_world.expected_shift(unseen, n_cells=200)
    return lambda predictor, **kwargs: audit_on(predictor, wide_screen, unseen, truth, **kwargs)


class Oracle:
    """Knows the true effect of every feature vector, and looks at nothing else."""

    name = "oracle of features"

    def __init__(self, world):
        self.world = world

    def fit(self, screen):
        self.features = screen.features

    def predict_shift(self, conditions):
        known = self.world.drug_features.to_numpy()
        asked = self.features.loc[conditions["drug"]].to_numpy()
        nearest = np.abs(asked[:, None] - known).sum(2).argmin(1)
        names = self.world.drug_features.index.to_numpy()[nearest]
        return self.world.expected_shift(conditions.assign(drug=names), n_cells=100)


class DeadFeaturePath(RidgeOnFeatures):
    """A ridge whose features are multiplied by zero on the way."""

    name = "dead ridge"

    def fit(self, screen):
        dead = screen.adata.copy()
        table = dead.uns["drug_features"]
        dead.uns["drug_features"] = table * 0.0 + 1.0
        super().fit(TrainingScreen(dead, screen.keys))


def test_oracle_uses_features(audit_with_truth, wide_world):
    audit = audit_with_truth(Oracle(wide_world), n_draws=3)
    assert audit.verdict == "uses features"
    assert audit.r2 > 0.9
    shuffled = audit.effects.set_index("ablation").loc["shuffled"]
    assert shuffled["lower"] > 0.5
    assert shuffled["n_perturbations"] == 16
    assert audit.sentence.startswith("oracle of features uses features: R² of 16 unseen")


def test_dead_feature_path_is_caught(audit_with_truth):
    audit = audit_with_truth(DeadFeaturePath())
    assert audit.verdict == "does not use features"
    assert audit.effects["moved"].max() == 0
    np.testing.assert_allclose(audit.effects["effect"], 0, atol=1e-12)
    assert audit_with_truth(MeanOfTreated()).verdict == "does not use features"


def test_ridge_uses_features_and_loses_them_when_it_is_trained_on_others(audit_with_truth):
    audit = audit_with_truth(RidgeOnFeatures(), retrain=RidgeOnFeatures)
    assert audit.verdict == "uses features"
    effects = audit.effects.set_index(["how", "ablation"])
    assert set(effects.index) == {
        ("predicted again", "shuffled"),
        ("predicted again", "zeroed"),
        ("predicted again", "random"),
        ("retrained", "shuffled"),
        ("retrained", "random"),
        ("retrained", "one-hot"),
    }
    assert (effects["effect"] > 0.2).all()
    assert (effects["lower"] <= effects["effect"]).all()
    assert (effects["effect"] <= effects["upper"]).all()
    np.testing.assert_allclose(effects["r2"] + effects["effect"], audit.r2)


def test_predictor_of_shuffled_features_is_not_said_to_use_them(wide_world, wide_screen, unseen):
    adata = wide_screen.adata.copy()
    features = adata.uns["drug_features"]
    order = np.random.default_rng(3).permutation(len(features))
    adata.uns["drug_features"] = features.iloc[order].set_axis(features.index)
    truth = wide_world.expected_shift(unseen, n_cells=200)
    audit = audit_on(RidgeOnFeatures(), TrainingScreen(adata), unseen, truth)
    assert audit.verdict != "uses features"


def test_trained_gim_is_audited_without_training_it_again(gim, small_world, small_screen):
    held_out = small_world.held_out
    conditions = held_out.loc[held_out["split"].str.startswith("unseen"), ["drug", "dose"]]
    truth = small_world.expected_shift(conditions, n_cells=100)
    before = {name: value.clone() for name, value in gim.model.module.state_dict().items()}
    audit = audit_on(gim, small_screen, conditions.reset_index(drop=True), truth, n_draws=2)
    after = gim.model.module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert audit.predictor == "GIM"
    assert audit.effects["moved"].min() >= 0
    own = gim.predict_shift(conditions)
    genes = np.argsort(-np.abs(truth), 1)[:, :50]
    error = np.take_along_axis(own - truth, genes, 1)
    size = np.take_along_axis(truth, genes, 1)
    assert audit.r2 == pytest.approx(1 - (error**2).sum() / (size**2).sum())


def test_audit_on_a_split_of_a_real_screen(wide_screen):
    held_out = split(wide_screen.adata, "perturbation", fraction=0.4, seed=1)
    audit = audit_features(RidgeOnFeatures(), wide_screen.adata, held_out, n_draws=2)
    assert audit.verdict == "uses features"
    assert "drug_features" in wide_screen.adata.uns
    assert len(wide_screen.adata.uns["drug_features"]) == 24 + 16 + 4


def test_split_of_doses_cannot_be_audited(wide_screen):
    doses = split(wide_screen.adata, "top_dose")
    with pytest.raises(ValueError, match="holds out no perturbation as a whole"):
        audit_features(RidgeOnFeatures(), wide_screen.adata, doses)


def test_screen_without_features_cannot_be_audited(wide_screen):
    keys = ScreenKeys(features=None)
    held_out = split(wide_screen.adata, "perturbation", keys=keys)
    with pytest.raises(ValueError, match="nothing to audit"):
        audit_features(MeanOfTreated(), wide_screen.adata, held_out)


def test_two_perturbations_are_too_few_to_tell(wide_world, wide_screen, unseen):
    few = unseen[unseen["drug"].isin(unseen["drug"].unique()[:2])].reset_index(drop=True)
    truth = wide_world.expected_shift(few, n_cells=100)
    audit = audit_on(RidgeOnFeatures(), wide_screen, few, truth)
    assert audit.verdict == "cannot tell"
    assert "may or may not use features" in audit.sentence


class Overshoot(Oracle):
    """Follows the features, and predicts three times too much."""

    name = "overshoot"

    def predict_shift(self, conditions):
        return 3.0 * super().predict_shift(conditions)


def test_features_that_help_only_to_be_worse_than_no_effect_are_no_verdict(
    audit_with_truth, wide_world
):
    audit = audit_with_truth(Overshoot(wide_world))
    assert audit.r2 < 0
    assert (audit.effects.set_index("ablation").loc["shuffled", "lower"] > 0).all()
    assert audit.verdict == "cannot tell"


def test_a_gim_is_retrained_on_other_features_in_no_time(gim, small_world, small_screen):
    held_out = small_world.held_out
    conditions = held_out.loc[held_out["split"] == "unseen_drug", ["drug", "dose"]]
    conditions = conditions.reset_index(drop=True)
    truth = small_world.expected_shift(conditions, n_cells=100)
    own = gim.predict_shift(conditions)
    audit = audit_on(
        gim, small_screen, conditions, truth, retrain=lambda: RefittedGIM(gim), n_draws=1
    )
    retrained = audit.effects[audit.effects["how"] == "retrained"]
    assert retrained["ablation"].tolist() == ["shuffled", "random", "one-hot"]
    assert (retrained["moved"] > 0).all()
    np.testing.assert_array_equal(gim.predict_shift(conditions), own)


def test_only_perturbations_outside_training_are_unseen(small_world, small_screen):
    held_out = small_world.held_out
    top = held_out[held_out["split"] == "top_dose"]
    assert unseen_perturbations(small_screen, top) == []
    new = held_out[held_out["split"] == "unseen_drug"]
    assert unseen_perturbations(small_screen, new) == sorted(new["drug"].unique())


def audit_of(verdict, effect, r2=0.5):
    row = {"ablation": "shuffled", "how": "predicted again", "r2": r2 - effect, "effect": effect}
    ends = {"lower": effect - 0.1, "upper": effect + 0.1, "moved": 1.0, "n_perturbations": 8}
    return FeatureAudit("GIM", r2, pd.DataFrame([row | ends]), verdict)


def test_four_of_five_seeds_decide_on_the_use_of_features():
    uses, not_used = audit_of("uses features", 0.4), audit_of("does not use features", 0.0)
    unsure = audit_of("cannot tell", 0.1)
    assert join_audits(dict(enumerate([uses] * 4 + [not_used]))).verdict == "uses features"
    assert join_audits(dict(enumerate([uses] * 3 + [not_used] * 2))).verdict == "cannot tell"
    assert join_audits(dict(enumerate([not_used] * 4 + [uses]))).verdict == "does not use features"
    assert join_audits({0: unsure}).verdict == "cannot tell"
    assert [audit.uses_features for audit in (uses, not_used, unsure)] == [True, False, False]


def test_the_sentence_of_several_seeds_has_their_means_and_outer_ends():
    joined = join_audits(
        {0: audit_of("uses features", 0.4, 0.6), 7: audit_of("uses features", 0.2)}
    )
    assert joined.effects["seed"].tolist() == [0, 7]
    assert joined.sentence == (
        "GIM uses features: R² of 8 unseen perturbations, mean of 2 seeds, is 0.550; predicted again "
        "with shuffled features, R² falls by 0.300 (95 % intervals from 0.100 to 0.500)."
    )


@pytest.mark.parametrize(
    ("unseen", "has_features", "message"),
    [
        (
            ["A"],
            False,
            (
                "The screen has no features of perturbations (`keys.features` is None), so there is "
                "nothing to audit. Name the entry of `adata.uns` that holds them in `ScreenKeys`."
            ),
        ),
        (
            [],
            True,
            (
                "The split holds out no perturbation as a whole: all of its held-out conditions are of "
                "perturbations seen in training, for which features are not needed. Audit on a split "
                'such as `split(adata, "perturbation")`.'
            ),
        ),
        (
            ["A", "B"],
            True,
            (
                "'B' are held out and have no row of features, so no predictor can predict them. Add "
                "the rows."
            ),
        ),
    ],
)
def test_messages_say_what_cannot_be_audited(unseen, has_features, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        check_can_be_audited(unseen, ["A"], has_features=has_features)
    assert str(error.value) == message


def test_unseen_perturbations_with_features_can_be_audited():
    check_can_be_audited(["A"], ["A", "B"], has_features=True)
