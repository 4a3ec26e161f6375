import pytest
import torch

from scgim.scm import hill_response


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
