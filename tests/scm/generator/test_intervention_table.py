import numpy as np
import pytest
import torch

from scgim.scm import InterventionTable

ANCHORS = torch.tensor([-1.0, 0.0, 1.0])


@pytest.fixture(params=["hill", "free"])
def table(request):
    anchors = ANCHORS if request.param == "free" else None
    table = InterventionTable(3, 2, anchors=anchors, log10_dose_center=0.5)
    generator = torch.Generator().manual_seed(0)
    for parameter in (table.shift, table.log10_ec50, table.steepness):
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return table


def _dose(*doses):
    return torch.tensor(doses)[:, None].log10()


def test_control_cells_are_not_shifted_at_all(table):
    shift = table(torch.full((2, 2), -1), _dose(0.0, 5.0))
    assert torch.equal(shift, torch.zeros(2, 2))


def test_dose_zero_changes_nothing_exactly(table):
    shift = table(torch.tensor([[0, -1], [1, 2]]), _dose(0.0, 0.0))
    assert torch.equal(shift, torch.zeros(2, 2))


def test_infinite_dose_saturates(table):
    shift = table(torch.tensor([[0], [1], [2]]), _dose(torch.inf, torch.inf, torch.inf))
    torch.testing.assert_close(shift, table.saturating_shift)


def test_combinations_add_the_shifts_of_their_parts(table):
    dose = _dose(3.0)
    both = table(torch.tensor([[0, 2]]), dose)
    parts = table(torch.tensor([[0, -1]]), dose) + table(torch.tensor([[2, -1]]), dose)
    torch.testing.assert_close(both, parts)


def test_order_in_a_combination_is_free(table):
    dose = _dose(3.0)
    one, other = table(torch.tensor([[0, 1, 2]]), dose), table(torch.tensor([[2, 0, 1]]), dose)
    torch.testing.assert_close(one, other)


def test_gradients_are_finite_for_control_cells_and_dose_zero(table):
    components = torch.tensor([[-1, -1], [0, -1], [1, 2], [2, -1]])
    loss = table(components, _dose(0.0, 0.0, 2.0, torch.inf)).square().sum()
    (loss + table.negative_log_prior()).backward()
    for name, parameter in table.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_perturbation_without_cells_gets_no_gradient_from_them(table):
    table(torch.tensor([[0, -1]]), _dose(2.0)).sum().backward()
    assert torch.equal(table.shift.grad[1:], torch.zeros_like(table.shift[1:]))


def test_one_hill_slope_can_be_given_to_all():
    table = InterventionTable(3, 2)
    table.set_hill(1.75)
    torch.testing.assert_close(table.hill, torch.full((3,), 1.75))


def test_response_on_arrays_is_the_response_on_tensors(table):
    table.set_hill(1.5)
    log10_dose = np.array([-np.inf, 0.3, np.inf])
    with torch.no_grad():
        expected = table.response(torch.arange(3), torch.tensor(log10_dose, dtype=torch.float32))
    ec50 = table.log10_ec50.detach().double().numpy()
    array = table.cpu_response(log10_dose, ec50, 1.5)
    assert array.dtype == np.float64
    np.testing.assert_allclose(array, expected.numpy(), atol=1e-6)


def test_fixed_curves_do_not_depend_on_ec50():
    table = InterventionTable(2, 2, anchors=ANCHORS)
    dose = np.array([0.1, 2.0])
    one, other = (table.cpu_response(dose, np.full(2, ec50), 1.0) for ec50 in (-3.0, 3.0))
    np.testing.assert_array_equal(one, other)
    assert one.shape == (2, 3)


def test_prior_counts_standard_deviations():
    table = InterventionTable(2, 2)
    table.shift.data.zero_()
    assert table.negative_log_prior().item() == pytest.approx(0.0, abs=1e-12)
    table.shift.data[0, 0, 1] = 6.0
    table.log10_ec50.data[1] = 1.0
    assert table.negative_log_prior().item() == pytest.approx(0.5 * (2.0**2 + 1.0))
