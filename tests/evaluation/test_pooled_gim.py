import numpy as np
import pytest

from scgim.evaluation import GIMPredictor, PooledGIM, TrainedGIM
from scgim.evaluation._feature_audit import audit_on

pytestmark = pytest.mark.filterwarnings("ignore:Unseen perturbations")


@pytest.fixture(scope="module")
def pooled(gim, small_screen):
    other = GIMPredictor(n_nodes=3, measure_gauge=False, train_kwargs={"max_epochs": 3}, seed=1)
    pooled = PooledGIM([TrainedGIM(gim.model), other])
    pooled.fit(small_screen)
    return pooled


def test_the_mean_is_that_of_the_members_and_the_interval_holds_both(pooled, conditions):
    asked = conditions(("drug_00", 10.0), ("drug_13", 1.0))
    members = [member.predict_interval(asked) for member in pooled.members]
    mean, lower, upper = pooled.predict_interval(asked)
    np.testing.assert_allclose(mean, np.mean([m[0] for m in members], axis=0), atol=1e-6)
    widths = np.array([m[2] - m[1] for m in members])
    assert (upper - lower >= np.sqrt((widths**2).mean(axis=0)) - 1e-5).all()


def test_every_member_gives_its_share_of_the_cells(pooled, conditions):
    asked = conditions(("drug_00", 10.0))
    cells = pooled.predict_cells(asked, 5, seed=3)
    assert cells.shape == (1, 5, 60)
    first, second = pooled.members
    np.testing.assert_array_equal(cells[:, :3], first.predict_cells(asked, 3, seed=3))
    np.testing.assert_array_equal(cells[:, 3:], second.predict_cells(asked, 2, seed=4))


def test_all_members_are_audited(pooled, small_world, small_screen):
    held_out = small_world.held_out.query("split == 'unseen_drug'")[["drug", "dose"]]
    held_out = held_out.reset_index(drop=True)
    truth = small_world.expected_shift(held_out, n_cells=50)
    audit = audit_on(pooled, small_screen, held_out, truth, n_draws=1)
    alone = audit_on(pooled.members[0], small_screen, held_out, truth, n_draws=1)
    assert audit.predictor == "GIM, pooled"
    assert audit.r2 != alone.r2
