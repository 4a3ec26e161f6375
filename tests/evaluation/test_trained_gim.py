import numpy as np
import pytest

from scgim.evaluation import TrainedGIM


@pytest.fixture
def predictor(gim, small_screen):
    trained = TrainedGIM(gim.model)
    trained.fit(small_screen)
    return trained


def test_seen_and_described_perturbations_can_be_predicted_and_others_not(predictor, conditions):
    asked = conditions(("drug_00", 1.0), ("drug_13", 1.0), ("vehicle", 0.0), ("aspirin", 1.0))
    assert predictor.why_not(asked) == [
        "",
        "",
        "",
        "not in training, and without features: 'aspirin'",
    ]


def test_interval_has_the_shift_in_its_middle(predictor, conditions):
    mean, lower, upper = predictor.predict_interval(conditions(("drug_00", 10.0)), 0.5)
    np.testing.assert_allclose((lower + upper) / 2, mean, atol=1e-6)
    wide = predictor.predict_interval(conditions(("drug_00", 10.0)), 0.9)
    assert (wide[2] > upper).all()


def test_genes_in_another_order_are_put_in_the_order_of_the_screen(gim, small_screen, conditions):
    reordered = TrainedGIM(gim.model)
    screen = type(small_screen)(small_screen.adata[:, ::-1].copy(), small_screen.keys)
    with pytest.warns(UserWarning, match="in another order"):
        reordered.fit(screen)
    asked = conditions(("drug_00", 10.0))
    np.testing.assert_array_equal(reordered.predict_shift(asked)[:, ::-1], gim.predict_shift(asked))
    cells = [p.predict_cells(asked, 5, seed=1) for p in (reordered, gim)]
    np.testing.assert_array_equal(cells[0][..., ::-1], cells[1])


def test_the_name_of_0_1_still_works(predictor, small_screen):
    features = small_screen.features.iloc[:1].set_axis(["new"])
    with pytest.warns(FutureWarning, match="`knowing` is `with_new_features` since 0.2"):
        old = predictor.knowing(features)
    assert old.new_features is predictor.with_new_features(features).new_features
