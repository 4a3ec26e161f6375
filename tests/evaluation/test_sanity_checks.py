import numpy as np
import pandas as pd
import pytest

from scgim.datasets import ProgramsWorld
from scgim.evaluation import (
    MeanOfTreated,
    ScreenKeys,
    TrainingScreen,
    add_decoys,
    audit_control,
    compare_between_variance,
    false_target_rate,
)
from scgim.evaluation._sanity_checks import check_decoys, check_differing_perturbations


@pytest.fixture(scope="module")
def world():
    return ProgramsWorld(4, n_genes=60, n_control=400, n_cells=12)


@pytest.fixture(scope="module")
def adata(world):
    screen = world.screen()
    screen.obs["plate"] = np.random.default_rng(0).choice(["p1", "p2", "p3", "p4"], screen.n_obs)
    return screen


@pytest.fixture(scope="module")
def conditions(world):
    return world.held_out.query("split == 'unseen_drug' and dose > 1").reset_index(drop=True)


def test_collapsed_predictor_is_caught(world, adata, conditions):
    true = world.expected_shift(conditions, n_cells=100)
    collapsed = MeanOfTreated()
    collapsed.fit(TrainingScreen(adata))
    found = compare_between_variance(
        collapsed.predict_shift(conditions), true, conditions["drug"], conditions["dose"]
    )
    assert found.is_collapsed
    assert found.ratio == pytest.approx(0, abs=1e-12)


def test_truth_differs_as_much_as_itself_and_half_of_it_a_quarter(world, conditions):
    true = world.expected_shift(conditions, n_cells=100)
    same = compare_between_variance(true, true, conditions["drug"], conditions["dose"])
    assert same.ratio == same.lower == same.upper == 1
    half = compare_between_variance(0.5 * true + 3, true, conditions["drug"], conditions["dose"])
    assert half.ratio == pytest.approx(0.25)
    assert not half.is_collapsed


def test_sampling_noise_of_the_truth_is_no_difference():
    true = np.array([[2.0], [-2.0]])
    names = pd.Series(["a", "b"])
    plain = compare_between_variance(true, true, names)
    corrected = compare_between_variance(true, true, names, sampling_variance=np.full((2, 1), 2.0))
    assert plain.ratio == 1
    assert corrected.ratio == pytest.approx(4 / 3)


def test_noise_is_taken_off_without_bias_also_for_two_perturbations_at_a_dose():
    rng = np.random.default_rng(0)
    doses = pd.Series(np.repeat(np.arange(500), 2))
    signal = rng.normal(size=(1000, 4))
    noisy = signal + rng.normal(scale=1.5, size=signal.shape)
    names = pd.Series(np.arange(1000))
    noise = np.full(signal.shape, 1.5**2)
    found = compare_between_variance(signal, noisy, names, doses, sampling_variance=noise)
    assert found.ratio == pytest.approx(1.0, abs=0.1)


def test_clean_control_is_inside_the_noise_band(adata):
    for by in (None, "plate"):
        audit = audit_control(adata, by=by, n_permutations=100)
        assert audit.problems == []
        assert not audit.vehicles["is_outside"].any()
        assert audit.common_share < 0.1


def test_cell_lines_may_differ_but_not_plates_of_one_line(adata):
    other = adata.copy()
    line = np.where(np.arange(other.n_obs) % 2, "x", "y")
    is_y = line == "y"
    other.X = other.X.toarray() if hasattr(other.X, "toarray") else other.X
    other.X[is_y, :20] *= 3
    other.obs["line"] = line
    other.obs["well"] = line
    by_line = audit_control(other, by="well", keys=ScreenKeys(context="line"), n_permutations=50)
    assert not by_line.vehicles["is_outside"].any()
    assert audit_control(other, by="well", n_permutations=50).vehicles["is_outside"].all()


def test_one_potent_drug_is_no_shift_that_all_share(adata):
    labels = adata.obs["drug"].astype(str)
    few = [name for name in labels.unique() if name != "vehicle"][:4]
    audit = audit_control(adata[labels.isin([*few, "vehicle"])].copy(), n_permutations=20)
    assert np.isnan(audit.common_share)
    assert audit.problems == []


def test_mislabelled_wells_among_the_controls_are_caught(adata):
    other = adata.copy()
    is_top = other.obs["dose"] > 10
    drug = other.obs.loc[is_top, "drug"].iloc[0]
    top = np.flatnonzero(is_top & (other.obs["drug"] == drug))
    labels, dose = other.obs["drug"].astype(str), other.obs["dose"].copy()
    labels.iloc[top], dose.iloc[top] = "vehicle", 0.0
    other.obs["drug"], other.obs["dose"] = pd.Categorical(labels), dose
    other.obs["plate"] = other.obs["plate"].astype(str)
    other.obs.iloc[top, other.obs.columns.get_loc("plate")] = "p5"
    audit = audit_control(other, by="plate", n_permutations=100)
    assert set(audit.vehicles.loc[audit.vehicles["is_outside"], "group"]) == {"p5"}
    assert audit.problems[0].startswith("Control cells of 'p5' differ from the other control cells")


def test_swapped_label_of_the_control_is_caught(adata):
    other = adata.copy()
    labels = other.obs["drug"].astype(str)
    is_drug = (labels == "drug_03") & (other.obs["dose"] > 1)
    is_vehicle = labels == "vehicle"
    labels[is_drug], labels[is_vehicle] = "vehicle", "drug_03"
    dose = other.obs["dose"].copy()
    dose[is_drug], dose[is_vehicle] = 0.0, 30.0
    other.obs["drug"], other.obs["dose"] = pd.Categorical(labels), dose
    audit = audit_control(other, n_permutations=100)
    assert len(audit.problems) == 1
    assert audit.problems[0].startswith("All perturbations share a shift from 'vehicle'")
    assert audit.common_share > 0.25
    assert audit.common_p_value < 0.05


def test_screen_without_doses_has_no_common_shift(adata):
    keys = TrainingScreen(adata).keys
    without = type(keys)(dose=None)
    assert np.isnan(audit_control(adata, keys=without, n_permutations=20).common_share)


def test_false_targets_are_counted_over_the_drugs_that_do_nothing():
    targets = pd.DataFrame(
        {
            "perturbation": ["decoy 0"] * 4 + ["decoy 1"] * 4 + ["A"] * 4,
            "node": ["n0", "n1", "n2", "n3"] * 3,
            "is_target": [True, False, False, False] + [False] * 4 + [True] * 4,
        }
    )
    rate = false_target_rate(targets, ["decoy 0", "decoy 1"])
    assert (rate.rate, rate.n_pairs, rate.with_any) == (1 / 8, 8, 0.5)
    assert rate.lower < 1 / 8 < rate.upper
    with pytest.raises(ValueError, match="`targets` has no row of 'decoy 9'"):
        false_target_rate(targets, ["decoy 9"])


def test_decoys_are_control_cells_with_the_doses_and_features_of_a_drug(adata):
    with_decoys = add_decoys(adata, 3, seed=1)
    labels = with_decoys.obs["drug"].astype(str)
    is_decoy = labels.str.startswith("decoy")
    assert is_decoy.sum() == 200
    assert set(labels[is_decoy]) == {"decoy 0", "decoy 1", "decoy 2"}
    assert (adata.obs["drug"][is_decoy.to_numpy()] == "vehicle").all()
    assert set(with_decoys.obs.loc[is_decoy, "dose"]) <= set(adata.obs["dose"]) - {0.0}
    features = with_decoys.uns["drug_features"]
    known = {tuple(row) for row in adata.uns["drug_features"].to_numpy()}
    assert {tuple(row) for row in features.loc[["decoy 0", "decoy 2"]].to_numpy()} <= known
    assert "decoy 0" not in adata.uns["drug_features"].index
    assert (with_decoys.X != adata.X).nnz == 0


def test_one_perturbation_has_none_to_differ_from():
    message = (
        "Differences between perturbations need at least two of them, but there is 1. Pass the "
        "conditions of more perturbations."
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        check_differing_perturbations(1)
    assert str(error.value) == message
    check_differing_perturbations(2)


def test_targets_of_other_perturbations_only_are_named():
    message = (
        "`targets` has no row of 'decoy 0'. It has perturbations such as 'A', 'B'. Pass "
        "perturbations of the table that do nothing."
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        check_decoys(0, ["decoy 0"], ["B", "A"])
    assert str(error.value) == message
    check_decoys(3, ["A"], ["A"])
