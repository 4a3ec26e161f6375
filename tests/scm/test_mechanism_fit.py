import numpy as np
import pytest
import torch

from scgim.scm import MechanismData
from scgim.scm._mechanism_fit import CONTROL_CHUNK, ProfileLikelihood, _chunk_untargeted

N_CELLS = 300


def make_data():
    """Three conditions of 100 cells: control, node 1 shifted, node 1 replaced."""
    rng = np.random.default_rng(0)
    condition = np.repeat([0, 1, 2], N_CELLS // 3)
    values = rng.normal([1.0, 0.0], size=(N_CELLS, 2))
    values[condition == 1, 1] += 5.0
    values[condition == 2, 1] = 50.0
    is_shifted, is_replaced = np.zeros((2, 3, 2), bool)
    is_shifted[1, 1] = is_replaced[2, 1] = True
    unused = np.full(2, np.nan)
    return MechanismData(
        values=values,
        condition=condition,
        graph=np.zeros((2, 2), bool),
        is_shifted=is_shifted,
        is_replaced=is_replaced,
        linear_weights=np.full((2, 2), np.nan),
        linear_offset=unused,
        linear_noise_variance=unused,
        seed=0,
    )


@pytest.fixture
def likelihood():
    return ProfileLikelihood(make_data(), torch.zeros(0, dtype=torch.float64))


def test_variance_is_taken_around_free_shifts_and_without_replaced_cells(likelihood):
    values = make_data().values
    centred = values[100:200, 1] - values[100:200, 1].mean()
    expected = (np.sum(values[:100, 1] ** 2) + 100 * np.sum(centred**2) / 99) / 200
    variance = likelihood.noise_variance(likelihood.values)
    assert variance[1].item() == pytest.approx(expected)
    assert variance[0].item() == pytest.approx(np.mean(values[:, 0] ** 2))


def test_offset_is_the_mean_of_cells_to_which_nothing_is_done(likelihood):
    mean = likelihood.free_mean(likelihood.values)
    values = make_data().values
    np.testing.assert_allclose(mean, [values[:, 0].mean(), values[:100, 1].mean()])


def test_the_likeliest_parameters_are_found(likelihood):
    mean = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    likelihood.maximise(
        [mean],
        lambda values: values - mean,
        lambda: torch.zeros(()),
        torch.Generator().manual_seed(0),
        n_steps=400,
    )
    np.testing.assert_allclose(mean.detach(), likelihood.free_mean(likelihood.values), atol=0.05)


def test_conditions_with_targets_are_never_cut_into_chunks():
    data = make_data()
    group = _chunk_untargeted(data.condition, data.is_shifted)
    n_chunks = [len(np.unique(group[data.condition == condition])) for condition in range(3)]
    assert n_chunks == [100 // CONTROL_CHUNK, 1, 100 // CONTROL_CHUNK]
