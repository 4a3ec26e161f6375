import numpy as np
import pandas as pd
import pytest

from scgim.evaluation import TrainingScreen
from scgim.evaluation._stand_ins import StandIns, ablate_all, with_features


@pytest.fixture
def stand_ins(tiny):
    adata = tiny.adata.copy()
    adata.uns["drug_features"] = pd.DataFrame(
        {"size": [1.0, 3.0, 7.0, 9.0], "bit": [0.0, 1.0, 1.0, 1.0]},
        index=["A", "B", "like A", "new"],
    )
    screen = TrainingScreen(adata)
    rng = np.random.default_rng(0)
    return screen, StandIns.draw(screen, ["A", "B"], ["like A", "new"], 20, rng)


def test_shuffled_features_are_those_of_others(stand_ins):
    screen, stand_ins = stand_ins
    for names in stand_ins.names["shuffled"]:
        for own, label in names.items():
            size = stand_ins.features.loc[label, "size"]
            assert size in {1.0, 3.0, 7.0, 9.0} - {screen.features.loc[own, "size"]}


def test_zeroed_features_are_the_training_mean_and_no_bits(stand_ins):
    _, stand_ins = stand_ins
    (names,) = stand_ins.names["zeroed"]
    for label in names.values():
        assert stand_ins.features.loc[label].tolist() == [2.0, 0.0]


def test_random_features_are_values_of_the_training_perturbations(stand_ins):
    _, stand_ins = stand_ins
    labels = [label for names in stand_ins.names["random"] for label in names.values()]
    assert set(stand_ins.features.loc[labels, "size"]) == {1.0, 3.0}


def test_stand_ins_take_the_place_of_unseen_parts_only(stand_ins):
    screen, stand_ins = stand_ins
    conditions = pd.DataFrame({"drug": ["new", "A+like A"], "dose": [1.0, 2.0]})
    by_kind = dict(stand_ins.replaced(conditions, screen))
    first = by_kind["zeroed"][0]
    assert first["drug"].tolist() == ["new (zeroed 0)", "A+like A (zeroed 0)"]
    assert first["dose"].tolist() == [1.0, 2.0]
    assert len(by_kind["shuffled"]) == 20


@pytest.mark.parametrize("kind", ["shuffled", "random", "one-hot"])
def test_ablated_tables_keep_their_perturbations(kind):
    features = pd.DataFrame(np.arange(12.0).reshape(6, 2), index=list("abcdef"))
    ablated = ablate_all(features, kind, np.random.default_rng(1))
    assert list(ablated.index) == list("abcdef")
    if kind != "one-hot":
        for column in features:
            assert sorted(ablated[column]) == sorted(features[column])
        pairs = {tuple(row) for row in features.to_numpy()}
        kept = sum(tuple(row) in pairs for row in ablated.to_numpy())
        assert kept == 6 if kind == "shuffled" else kept < 6
    else:
        np.testing.assert_array_equal(ablated, np.eye(6))


def test_features_are_given_without_changing_the_screen(tiny):
    before = tiny.adata.uns["drug_features"].copy()
    other = with_features(tiny, before * 2)
    pd.testing.assert_frame_equal(tiny.adata.uns["drug_features"], before)
    pd.testing.assert_frame_equal(other.features, before * 2)
