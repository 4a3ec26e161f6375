from dataclasses import replace

import numpy as np
import pytest
import torch

from scgim.scm import scale_node, scale_nodes, set_node, set_nodes, shift_node, shift_nodes


def _same(one, other):
    tensors = ("shift", "noise_scale", "is_cut")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in tensors)


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


def test_drawing_decides_who_is_a_target(kinds):
    _, hard, scale = kinds
    for what in (hard, scale):
        never = replace(what, probability=torch.zeros(3))
        assert _same(never.draw(np.random.default_rng(0)), shift_nodes(torch.zeros(3)))
        always = replace(what, probability=torch.ones(3))
        drawn = always.draw(np.random.default_rng(0))
        assert drawn.probability is None
        assert _same(drawn, what)


def test_targets_are_drawn_as_often_as_their_probability_says():
    sure = shift_nodes(torch.ones(10_000, 2))
    probability = torch.tensor([0.2, 0.7]).expand(10_000, 2)
    drawn = replace(sure, probability=probability).draw(np.random.default_rng(0))
    np.testing.assert_allclose(drawn.shift.mean(0), [0.2, 0.7], atol=0.02)


def test_certain_interventions_are_drawn_as_they_are(kinds):
    for what in kinds:
        assert what.draw(np.random.default_rng(0)) is what


def test_probabilities_go_along_with_shapes_and_indices(kinds):
    what = replace(kinds[0], probability=torch.tensor([0.1, 0.2, 0.3]))
    assert what[1:].probability.tolist() == pytest.approx([0.2, 0.3])
    assert what.moved_by(torch.ones(3)).probability is what.probability
