from itertools import pairwise

import pytest
import torch

from scgim.train import GIMTrainingPlan, NonFiniteLossError
from scgim.train._gim_training_plan import learning_rate_factor


@pytest.fixture
def plan(module):
    return GIMTrainingPlan(module, lr=0.01, table_lr_factor=4.0, n_total_steps=1000)


def test_learning_rate_rises_over_fifty_steps_stays_and_falls_along_a_cosine():
    factor = [learning_rate_factor(step, 1000) for step in range(1001)]
    assert factor[0] == pytest.approx(1 / 50)
    assert factor[24] == pytest.approx(0.5)
    assert factor[49:600] == [1.0] * 551
    assert factor[800] == pytest.approx(0.51)
    assert factor[1000] == pytest.approx(0.01)
    assert all(one >= other for one, other in pairwise(factor[601:]))
    assert min(factor) > 0


def test_learning_rate_never_exceeds_its_peak():
    assert max(learning_rate_factor(step, 1000) for step in range(1001)) <= 1.0


def test_learning_rate_is_defined_beyond_the_end_and_for_one_step():
    assert learning_rate_factor(5000, 1000) == pytest.approx(0.01)
    assert learning_rate_factor(0, 1) > 0


def test_intervention_table_takes_larger_steps_than_the_rest(plan, module):
    optimizer = plan.configure_optimizers()["optimizer"]
    rest, table = optimizer.param_groups
    assert table["initial_lr"] == pytest.approx(4 * rest["initial_lr"]) == pytest.approx(0.04)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in module.parameters() if p.numel()}
    in_table = {id(p) for p in table["params"]}
    assert in_table == {id(p) for p in module.interventions.parameters()}


def test_divergence_counts_in_full_from_the_first_step(plan):
    assert plan.kl_weight == 1.0


def test_a_step_gives_the_loss_of_the_module(plan, module, batch):
    torch.manual_seed(0)
    loss = plan.training_step(batch, 0)
    torch.manual_seed(0)
    torch.testing.assert_close(loss, module(batch)[2].loss)
    plan._raise_if_broken()


def test_a_loss_that_is_not_finite_names_epoch_and_perturbation(plan, batch):
    plan.training_step(batch, 0)
    batch["X"][6] = torch.inf
    plan.training_step(batch, 1)
    with pytest.raises(NonFiniteLossError, match="epoch 0 at perturbation 2") as error:
        plan._raise_if_broken()
    assert (error.value.epoch, error.value.perturbation_code) == (0, 2)
    plan._raise_if_broken()


def test_the_first_bad_minibatch_is_named(plan, batch):
    for row in (1, 3):
        bad = {key: values.clone() for key, values in batch.items()}
        bad["X"][row] = torch.inf
        plan.training_step(bad, 0)
    with pytest.raises(NonFiniteLossError, match="at perturbation 1"):
        plan._raise_if_broken()
