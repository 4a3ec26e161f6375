import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.evaluation._splits import (
    Split,
    check_design_is_known,
    check_fraction,
    check_has_groups,
    check_same_conditions,
    check_split_sizes,
    perturbation_folds,
    split,
)
from scgim.evaluation._training_screen import ScreenKeys


@pytest.fixture
def screen():
    """Drugs A to E at three doses in two lines, and two combinations in one of them."""
    rows = [("vehicle", 0.0, line) for line in ("x", "y")]
    rows += [(drug, dose, line) for drug in "ABCDE" for dose in (0.1, 1.0, 10.0) for line in "xy"]
    rows += [("A+B", 1.0, "x"), ("C+Z", 1.0, "x")]
    obs = pd.DataFrame(rows * 2, columns=["drug", "dose", "line"])
    obs.index = obs.index.astype(str)
    obs["drug"] = obs["drug"].astype("category")
    return ad.AnnData(np.ones((len(obs), 2), dtype=np.float32), obs=obs)


def held_out(adata, kind, **kwargs):
    return split(adata, kind, fraction=0.4, seed=1, **kwargs).held_out


def test_interior_doses_lie_between_the_others_one_per_drug(screen):
    rows = held_out(screen, "interior_dose")
    assert set(rows["dose"]) == {1.0}
    assert rows["drug"].is_unique
    assert len(rows) == 2


def test_top_dose_holds_out_the_highest_dose_only(screen):
    rows = held_out(screen, "top_dose")
    assert set(rows["dose"]) == {10.0}
    assert len(rows) == 2


def test_held_out_perturbation_is_seen_nowhere_not_even_in_a_combination(screen):
    chosen = split(screen, "perturbation", fraction=0.5, seed=0)
    training = chosen.training(screen).obs["drug"].astype(str).unique()
    seen = {part for label in training for part in label.split("+")}
    unseen = {part for label in chosen.held_out["drug"] for part in label.split("+")}
    assert (unseen - seen) >= {part for part in "ABCDEZ" if part not in seen}
    alone = set(chosen.held_out["drug"]) & set("ABCDE")
    assert alone
    assert not alone & seen


def test_groups_are_held_out_as_a_whole(screen):
    groups = pd.Series({"A": 0, "B": 0, "C": 1, "D": 1, "E": 2, "Z": 2})
    rows = held_out(screen, "group", groups=groups)
    singles = set(rows["drug"]) & set("ABCDE")
    assert singles in ({"A", "B"}, {"C", "D"}, {"E"})


def test_context_is_held_out_with_all_its_treated_cells(screen):
    rows = held_out(screen, "context", context="line")
    line = rows["line"].unique()
    assert len(line) == 1
    treated = screen.obs[(screen.obs["line"] == line[0]) & (screen.obs["drug"] != "vehicle")]
    assert len(rows) == len(treated[["drug", "dose"]].drop_duplicates())


def test_perturbation_in_context_stays_seen_in_the_other_context(screen):
    rows = held_out(screen, "perturbation_in_context", context="line")
    for drug, lines in rows.groupby("drug")["line"]:
        assert len(set(lines)) == 1
        assert drug in "ABCDE"
    assert len(rows) == 6  # two drugs, three doses, one line each


@pytest.mark.parametrize("kind", ["context", "perturbation_in_context"])
def test_the_context_of_the_keys_need_not_be_given_again(screen, kind):
    by_keys = split(screen, kind, fraction=0.4, seed=1, keys=ScreenKeys(context="line"))
    by_argument = split(screen, kind, fraction=0.4, seed=1, context="line")
    pd.testing.assert_frame_equal(by_keys.held_out, by_argument.held_out)
    assert by_keys.context == "line"


def test_the_context_of_the_keys_does_not_tear_other_splits_apart(screen):
    chosen = split(screen, "top_dose", keys=ScreenKeys(context="line"))
    assert chosen.context is None
    assert "line" not in chosen.held_out


def test_combination_is_held_out_only_where_its_parts_are_seen(screen):
    assert set(held_out(screen, "combination")["drug"]) == {"A+B"}


def test_control_cells_are_never_held_out(screen):
    for kind in ("interior_dose", "perturbation", "combination"):
        chosen = split(screen, kind, seed=0)
        assert "vehicle" not in set(chosen.held_out["drug"])
        assert (chosen.training(screen).obs["drug"] == "vehicle").sum() == 4


def test_seed_decides(screen):
    first, again = (split(screen, "perturbation", seed=3).held_out for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    drawn = {tuple(split(screen, "perturbation", seed=seed).held_out["drug"]) for seed in range(8)}
    assert len(drawn) > 1


def test_split_is_restored_exactly_from_json_and_from_the_screen(screen, tmp_path):
    chosen = split(screen, "interior_dose", seed=2)
    chosen.save(tmp_path / "split.json")
    chosen.annotate(screen)
    screen.write_h5ad(tmp_path / "screen.h5ad")
    read = ad.read_h5ad(tmp_path / "screen.h5ad")
    for restored in (Split.load(tmp_path / "split.json"), Split.from_text(read.uns["split"])):
        pd.testing.assert_frame_equal(restored.held_out, chosen.held_out, check_dtype=False)
        assert (restored.kind, restored.seed, restored.keys) == ("interior_dose", 2, ScreenKeys())
        np.testing.assert_array_equal(restored.is_held_out(read), chosen.is_held_out(screen))
    assert (read.obs["split"] == "held out").sum() == chosen.is_held_out(screen).sum() > 0


def test_choosing_a_split_leaves_the_screen_alone(screen):
    before = screen.obs.copy()
    split(screen, "perturbation")
    pd.testing.assert_frame_equal(screen.obs, before)
    assert not screen.uns


def test_folds_hold_out_every_drug_once_and_are_of_equal_size(screen):
    folds = perturbation_folds(screen, n_folds=3, seed=4)
    singles = [set(fold.held_out["drug"]) & set("ABCDE") for fold in folds]
    assert sorted(name for names in singles for name in names) == list("ABCDE")
    assert all(singles)
    assert {fold.seed for fold in folds} == {4}


def test_folds_keep_groups_together_and_remember_their_name(screen):
    groups = pd.Series({"A": 0, "B": 0, "C": 1, "D": 1, "E": 2, "Z": 2}, name="scaffold")
    folds = perturbation_folds(screen, n_folds=3, groups=groups)
    singles = sorted("".join(sorted(set(fold.held_out["drug"]) & set("ABCDE"))) for fold in folds)
    assert singles == ["AB", "CD", "E"]
    assert {Split.from_text(fold.to_text()).grouping for fold in folds} == {"scaffold"}


def test_combination_is_held_out_with_any_of_its_parts(screen):
    for fold in perturbation_folds(screen, n_folds=3, seed=1):
        held_out = set(fold.held_out["drug"])
        assert ("A+B" in held_out) == bool({"A", "B"} & held_out)


@pytest.mark.parametrize(
    ("kind", "kwargs", "message"),
    [
        ("drug", {}, "`kind='drug'` is not a choice"),
        ("group", {}, "`kind='group'` needs `groups`"),
        ("context", {}, "`kind='context'` needs `context`"),
        ("context", {"context": "lime"}, r"`context='lime'` is not a column .*'line'"),
        ("perturbation", {"fraction": 20}, "`fraction=20` is not a share"),
        ("group", {"groups": pd.Series({"A": 0})}, "`groups` has no entry for 'B', 'C'"),
        ("interior_dose", {"keys": ScreenKeys(dose=None)}, "needs `keys.dose`"),
    ],
)
def test_impossible_splits_are_named(screen, kind, kwargs, message):
    with pytest.raises(ValueError, match=message):
        split(screen, kind, **kwargs)


def test_split_that_leaves_nothing_to_train_on_is_refused(screen):
    one = screen[screen.obs["drug"].isin(["vehicle", "A"])].copy()
    with pytest.raises(ValueError, match="leaves no treated condition to train on"):
        split(one, "perturbation")


def test_split_that_holds_out_nothing_is_refused(screen):
    singles = screen[~screen.obs["drug"].astype(str).str.contains("+", regex=False)].copy()
    with pytest.raises(ValueError, match="holds out no condition"):
        split(singles, "combination")


def test_split_of_another_screen_is_refused(screen):
    chosen = split(screen, "perturbation")
    other = screen[screen.obs["drug"] == "vehicle"].copy()
    with pytest.raises(ValueError, match="of which `adata` has 0"):
        chosen.is_held_out(other)


def test_a_control_that_is_not_there_is_no_treated_perturbation(screen):
    with pytest.raises(ValueError, match="`control='DMSO'` is not a label of"):
        split(screen, "perturbation", keys=ScreenKeys("drug", "DMSO"))


def test_treated_cells_without_a_dose_are_counted_and_control_cells_need_none(screen):
    screen.obs.loc[screen.obs["drug"] == "vehicle", "dose"] = np.nan
    assert len(held_out(screen, "top_dose")) == 2
    screen.obs.loc[screen.obs_names[4], "dose"] = np.nan
    with pytest.raises(ValueError, match=r"`adata.obs\['dose'\]` has no value for 1 cells"):
        held_out(screen, "top_dose")


def test_cells_of_an_unknown_condition_are_counted():
    message = (
        "`adata.obs['dose']` has no value for 3 cells, so it is not known which condition they belong "
        "to. Fill in the values, or leave these cells out."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_design_is_known("dose", n_missing=3)
    check_design_is_known("dose", n_missing=0)


def test_a_fraction_of_one_is_refused():
    message = "`fraction=1.0` is not a share. Pass a number above 0 and below 1, such as 0.2."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_fraction("fraction", 1.0)


def test_perturbations_without_a_group_are_named():
    message = "`groups` has no entry for 'B'. Pass a Series with one group per perturbation of the screen."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_has_groups(["A", "B"], {"A"})


def test_a_split_that_holds_out_nothing_is_refused():
    message = (
        "`kind='top_dose'` holds out no condition of this screen. Choose another kind of split, or "
        "raise `fraction`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_split_sizes("top_dose", n_held_out=0, n_training=5)


def test_a_split_that_leaves_nothing_to_train_on_is_refused():
    message = (
        "`kind='context'` leaves no treated condition to train on: all 5 are held out. Choose another "
        "kind of split, or lower `fraction`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_split_sizes("context", n_held_out=5, n_training=0)


def test_a_split_of_another_screen_is_refused():
    message = (
        "This split holds out 5 conditions, of which `adata` has 3. Use the screen that it was made "
        "for."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_same_conditions(3, 5)
