import numpy as np
import pytest
import torch

from scgim.scm import hill_response
from scgim.scm._dose_response import hill_gradient, hill_response_of_arrays


def test_response_is_the_hill_curve_of_the_dose():
    dose, ec50, hill = torch.tensor([0.1, 1.0, 30.0]), torch.tensor(3.0), torch.tensor(1.7)
    expected = dose**hill / (dose**hill + ec50**hill)
    torch.testing.assert_close(hill_response(dose.log10(), ec50.log10(), hill), expected)


@pytest.mark.parametrize("hill", [0.3, 1.0, 8.0])
def test_response_is_half_at_ec50(hill):
    ec50 = torch.tensor([-2.0, 0.0, 3.5])
    assert hill_response(ec50, ec50, torch.tensor(hill)).tolist() == [0.5, 0.5, 0.5]


def test_response_is_exactly_zero_at_dose_zero_and_one_at_infinite_dose():
    log10_dose = torch.tensor([0.0, torch.inf]).log10()
    response = hill_response(log10_dose, torch.tensor(1.0), torch.tensor(2.0))
    assert response.tolist() == [0.0, 1.0]


def test_response_rises_with_the_dose():
    response = hill_response(torch.linspace(-3, 3, 50), torch.tensor(0.5), torch.tensor(1.2))
    assert (response.diff() > 0).all()


@pytest.mark.parametrize("log10_dose", [-torch.inf, -40.0, 0.0, 40.0, torch.inf])
def test_gradients_are_finite_at_every_dose(log10_dose):
    ec50 = torch.tensor(0.0, requires_grad=True)
    hill = torch.tensor(1.0, requires_grad=True)
    hill_response(torch.tensor(log10_dose), ec50, hill).backward()
    assert ec50.grad.isfinite()
    assert hill.grad.isfinite()


def test_arrays_have_the_same_curve_in_double_precision():
    dose, ec50 = np.array([0.0, 0.1, 1.0, 30.0, np.inf]), 3.0
    with np.errstate(divide="ignore"):
        response = hill_response_of_arrays(np.log10(dose), np.log10(ec50), 1.7)
    assert response.dtype == np.float64
    finite = dose[:-1] ** 1.7 / (dose[:-1] ** 1.7 + ec50**1.7)
    np.testing.assert_allclose(response, [*finite, 1.0], rtol=1e-12)


def test_arrays_broadcast_as_tensors_do():
    response = hill_response_of_arrays(np.zeros((4, 1)), np.linspace(-1, 1, 5), 2.0)
    assert response.shape == (4, 5)


def test_gradient_by_ec50_and_log_slope_is_that_of_autograd():
    log10_dose = torch.linspace(-2, 2, 9, dtype=torch.float64)
    ec50 = torch.full((9,), 0.3, dtype=torch.float64, requires_grad=True)
    log_hill = torch.full((9,), 0.5, dtype=torch.float64, requires_grad=True)
    hill_response(log10_dose, ec50, log_hill.exp()).sum().backward()
    gradient = hill_gradient(log10_dose.numpy(), np.full(9, 0.3), np.exp(0.5))
    np.testing.assert_allclose(gradient[:, 0], ec50.grad, rtol=1e-10)
    np.testing.assert_allclose(gradient[:, 1], log_hill.grad, rtol=1e-10, atol=1e-15)


def test_gradient_is_zero_where_the_curve_is_flat():
    log10_dose = np.array([-np.inf, -400.0, 400.0, np.inf])
    assert np.all(hill_gradient(log10_dose, np.zeros(4), 1.0) == 0)
