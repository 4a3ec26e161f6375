import pytest
import torch

from scgim.scm import scale_node, scale_nodes, set_node, set_nodes, shift_node, shift_nodes


def _same(one, other):
    return all(torch.equal(vars(one)[name], vars(other)[name]) for name in vars(one))


@pytest.fixture
def kinds():
    target = torch.tensor([0.0, 1.0, 0.0])
    return [
        shift_nodes(torch.tensor([1.0, 0.0, -2.0])),
        set_nodes(target, torch.tensor([9.0, 3.0, 9.0]), noise_scale=0.5),
        scale_nodes(torch.tensor([1.0, 1.0, 0.25])),
    ]


def test_combinations_are_the_same_in_either_order(kinds):
    for one in kinds:
        for other in kinds:
            assert _same(one.then(other), other.then(one))


def test_the_empty_intervention_adds_nothing(kinds):
    empty = shift_nodes(torch.zeros(3))
    for one in kinds:
        assert _same(one.then(empty), one)


def test_combinations_add_shifts_and_multiply_noise(kinds):
    shift, hard, scale = kinds
    combined = shift.then(hard).then(scale)
    assert combined.shift.tolist() == [1.0, 3.0, -2.0]
    assert combined.noise_scale.tolist() == [1.0, 0.5, 0.25]
    assert combined.is_cut.tolist() == [0.0, 1.0, 0.0]


def test_a_hard_intervention_touches_its_targets_only(kinds):
    hard = kinds[1]
    assert hard.shift.tolist() == [0.0, 3.0, 0.0]
    assert hard.noise_scale.tolist() == [1.0, 0.5, 1.0]


def test_setting_without_noise_clamps_the_target():
    hard = set_nodes(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 2.0]))
    assert hard.noise_scale.tolist() == [0.0, 1.0]


def test_shift_and_scale_keep_all_edges(kinds):
    assert kinds[0].is_cut.sum() == 0
    assert kinds[2].is_cut.sum() == 0


def test_interventions_on_one_node_take_its_place(kinds):
    placed = shift_nodes(torch.zeros(3))
    placed = placed.at_node(0, shift_node(1.0)).at_node(1, set_node(3.0, noise_scale=0.5))
    assert _same(
        placed.at_node(2, scale_node(0.25)), kinds[1].then(kinds[2]).at_node(0, shift_node(1))
    )


def test_a_later_intervention_on_a_node_replaces_the_earlier_one():
    placed = shift_nodes(torch.zeros(3)).at_node(1, set_node(2.0)).at_node(1, shift_node(1.0))
    assert _same(placed, shift_nodes(torch.tensor([0.0, 1.0, 0.0])))


def test_interventions_of_a_batch_can_be_picked(kinds):
    batch = shift_nodes(torch.eye(3))
    assert _same(batch[1], shift_nodes(torch.tensor([0.0, 1.0, 0.0])))
    assert kinds[1].map(lambda values: values.double()).shift.dtype == torch.float64
