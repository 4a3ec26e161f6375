import numpy as np
import pytest

from scgim.scm.generator._prototypes import MechanismPrototypes

N_CLASSES, PER_CLASS, N_FEATURES, N_OUTPUTS = 5, 6, 8, 4


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(N_CLASSES, N_FEATURES)) * 2
    effects = rng.normal(size=(N_CLASSES, N_OUTPUTS)) * 2
    label = np.repeat(np.arange(N_CLASSES), PER_CLASS)
    features = centres[label] + 0.1 * rng.normal(size=(len(label), N_FEATURES))
    outputs = effects[label] + 0.1 * rng.normal(size=(len(label), N_OUTPUTS))
    return centres, effects, features, outputs


@pytest.fixture(scope="module")
def prototypes(world):
    return MechanismPrototypes(*world[2:])


def test_a_member_of_a_class_is_predicted_by_its_class(world, prototypes):
    centres, effects = world[:2]
    rows, n_summands, distance = prototypes.predict(centres)
    np.testing.assert_allclose(rows, effects, atol=0.5)
    assert n_summands.tolist() == [1] * N_CLASSES
    assert distance.max() < 1


def test_a_sum_of_two_mechanisms_is_predicted_by_the_sum_of_their_effects(world, prototypes):
    centres, effects = world[:2]
    rows, n_summands, distance = prototypes.predict(centres[[0]] + centres[[3]])
    np.testing.assert_allclose(rows[0], effects[0] + effects[3], atol=0.5)
    assert n_summands.tolist() == [2]
    assert distance[0] < 1


def test_a_mechanism_that_none_has_is_far_from_every_sum(world, prototypes):
    assert prototypes.predict(-3 * world[0][[0]])[2][0] > 5


def test_leave_one_out_predicts_each_row_from_the_rest_of_its_class(world, prototypes):
    outputs = world[3]
    error = np.square(prototypes.leave_one_out - outputs).sum()
    assert error < 0.05 * np.square(outputs).sum()


def test_leave_one_out_does_not_see_the_row_it_predicts(world):
    features, outputs = world[2:]
    changed = outputs.copy()
    changed[0] = 100.0
    left_out = MechanismPrototypes(features, changed).leave_one_out
    assert np.abs(left_out[0]).max() < 20.0


def test_rotating_the_outputs_rotates_the_predictions(world):
    centres, _, features, outputs = world
    # A common offset makes the mean over all numbers depend on the basis.
    outputs = outputs + 3.0
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(N_OUTPUTS, N_OUTPUTS)))[0]
    plain = MechanismPrototypes(features, outputs)
    rotated = MechanismPrototypes(features, outputs @ rotation)
    np.testing.assert_allclose(rotated.leave_one_out, plain.leave_one_out @ rotation, atol=1e-8)
    np.testing.assert_allclose(
        rotated.predict(centres)[0], plain.predict(centres)[0] @ rotation, atol=1e-8
    )


def test_few_perturbations_are_enough():
    rng = np.random.default_rng(2)
    prototypes = MechanismPrototypes(rng.normal(size=(4, 3)), rng.normal(size=(4, 2)))
    assert np.isfinite(prototypes.leave_one_out).all()
    assert prototypes.predict(rng.normal(size=(2, 3)))[0].shape == (2, 2)
