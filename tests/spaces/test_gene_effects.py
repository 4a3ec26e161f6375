import numpy as np
import pytest

from scgim.scm.generator._strength_curve import StrengthCurve
from scgim.spaces._gene_effects import LeftOutShifts, _dispersion, learn_gene_effects
from scgim.spaces._measured_shifts import MeasuredShifts, measure_shifts


@pytest.fixture(scope="module")
def left_out(model):
    return learn_gene_effects(model.fitted)[1]


def test_shifts_are_averaged_over_contexts_in_the_order_of_conditions(model, left_out):
    conditions = model.fitted.statistics.single_perturbations(model.screen)
    measured = left_out.measured
    ones = np.ones_like(measured.shift)
    np.testing.assert_allclose(left_out.of_conditions(ones, conditions), 1)
    row = 2
    same = (measured.perturbation == conditions.perturbation[row]) & (
        measured.log10_dose == conditions.log10_dose[row]
    )
    marked = np.zeros_like(measured.shift)
    marked[same] = 3.0
    averaged = left_out.of_conditions(marked, conditions)
    np.testing.assert_allclose(averaged[row], 3)
    np.testing.assert_allclose(np.delete(averaged, row, axis=0), 0)


def test_a_condition_that_was_not_measured_gets_nothing(model):
    measured = measure_shifts(model.fitted.statistics, model.screen)
    keep = measured.perturbation != 1
    fields = ("perturbation", "log10_dose", "context", "shift", "variance")
    some = type(measured)(
        contexts=measured.contexts, **{name: getattr(measured, name)[keep] for name in fields}
    )
    nothing = np.zeros_like(some.shift)
    averaged = LeftOutShifts(some, nothing, nothing).of_conditions(
        np.ones_like(some.shift), model.fitted.statistics.single_perturbations(model.screen)
    )
    conditions = model.fitted.statistics.single_perturbations(model.screen)
    assert not averaged[conditions.perturbation == 1].any()
    assert averaged[conditions.perturbation == 0].all()


def test_learning_again_in_another_basis_changes_little(model):
    again, _ = learn_gene_effects(model.fitted)
    np.testing.assert_allclose(again.direct.log_fold, model.fitted.direct.log_fold, atol=0.1)
    assert again.stack.weights.keys() == model.fitted.stack.weights.keys()


def test_conditions_that_scatter_more_than_their_cells_say_have_more_noise():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(5), 8)
    steady = rng.normal(size=(40, 300))
    fields = {
        "perturbation": group,
        "log10_dose": np.full(40, np.inf),
        "context": np.zeros(40, int),
        "contexts": np.zeros((1, 1), int),
        "variance": np.ones((40, 300)),
    }
    whole = StrengthCurve(np.zeros(0), np.zeros(0))
    as_cells_say = _dispersion(MeasuredShifts(shift=steady, **fields), whole)
    np.testing.assert_allclose(as_cells_say, 1, atol=0.1)
    twice = _dispersion(MeasuredShifts(shift=2 * steady, **fields), whole)
    np.testing.assert_allclose(twice, 4, rtol=0.1)
