import pytest
import torch

from scgim.scm import scale_nodes, set_nodes, shift_nodes


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
