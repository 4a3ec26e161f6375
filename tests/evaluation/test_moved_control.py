import numpy as np
import pytest

from scgim.evaluation._moved_control import MovedControl


class OnlyB(MovedControl):
    """Predicts B, by one unit."""

    name = "only B"

    def _fit_shift(self, screen):
        self.n_genes = screen.adata.n_vars

    def _why_not_condition(self, screen, label, dose, context):
        return "" if label == "B" else f"{label!r} is not B"

    def _shift_of(self, screen, single):
        return np.ones((len(single), self.n_genes))


def test_conditions_that_cannot_be_predicted_are_nan_and_the_others_are_not(tiny, conditions):
    predictor = OnlyB()
    predictor.fit(tiny)
    asked = conditions(("A", 1.0), ("B", 1.0), ("B", 0.0))
    assert predictor.why_not(asked) == ["'A' is not B", "", ""]
    np.testing.assert_array_equal(predictor.predict_shift(asked), [[np.nan] * 2, [1, 1], [0, 0]])


def test_asking_before_fitting_is_refused(conditions):
    with pytest.raises(RuntimeError, match="The predictor 'only B' has not been fitted"):
        OnlyB().why_not(conditions(("B", 1.0)))
