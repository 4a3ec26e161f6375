"""Baselines that look at no features: what a model has to beat before it is worth its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim.evaluation._moved_control import MovedControl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scgim.evaluation._training_screen import TrainingScreen

NO_DOSES = "the screen has no doses"
NO_CONTEXTS = "the screen has no contexts"


class NoEffect(MovedControl):
    """Every perturbation leaves the control cells as they are."""

    name = "no effect"

    def _fit_shift(self, screen: TrainingScreen) -> None:
        """Learn nothing."""

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        return np.zeros((len(single), screen.adata.n_vars))


class _WholeLabel(MovedControl):
    """Base of predictors for which a combination is a label like any other."""

    def _shift_of_conditions(
        self, screen: TrainingScreen, plain: pd.DataFrame
    ) -> NDArray[np.float64]:
        is_treated = np.array([bool(screen.split(label)) for label in plain["perturbation"]])
        is_treated &= (plain["dose"] > 0).to_numpy()
        shift = np.zeros((len(plain), screen.adata.n_vars))
        if is_treated.any():
            shift[is_treated] = self._shift_of(screen, plain[is_treated])
        return shift


class MeanOfTreated(_WholeLabel):
    """The mean shift of all treated conditions, whatever the perturbation, dose and context."""

    name = "mean of treated"

    def _fit_shift(self, screen: TrainingScreen) -> None:
        self._mean = screen.shift.mean(axis=0)

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        del screen
        return np.tile(self._mean, (len(single), 1))


class ContextMean(_WholeLabel):
    """The mean shift of all treated conditions in the same context."""

    name = "context mean"

    def _lacks(self, screen: TrainingScreen) -> str:
        return NO_CONTEXTS if screen.keys.context is None else ""

    def _fit_shift(self, screen: TrainingScreen) -> None:
        contexts = screen.conditions["context"].to_numpy()
        self._means = {
            context: screen.shift[contexts == context].mean(axis=0)
            for context in np.unique(contexts)
        }

    def _why_not_condition(
        self, screen: TrainingScreen, label: str, dose: float, context: str
    ) -> str:
        del screen, label, dose
        return "" if context in self._means else f"no treated training cells in {context!r}"

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        del screen
        return np.array([self._means[context] for context in single["context"]])


class SameDoseMean(MovedControl):
    """The mean shift of all perturbations at the nearest dose that was measured."""

    name = "same-dose mean"

    def _lacks(self, screen: TrainingScreen) -> str:
        return NO_DOSES if screen.keys.dose is None else ""

    def _fit_shift(self, screen: TrainingScreen) -> None:
        dose = screen.conditions["dose"].to_numpy()
        doses = np.unique(dose[dose > 0])
        self._doses = screen.log10_dose(doses)
        self._means = np.array([screen.shift[dose == one].mean(axis=0) for one in doses])

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        log10_dose = screen.log10_dose(single["dose"].to_numpy())
        return self._means[np.abs(log10_dose[:, None] - self._doses).argmin(axis=1)]


class SameClassMean(MovedControl):
    """The mean measured shift of the other perturbations of the same class, at the nearest dose.

    A class is whatever the user knows of perturbations beside their features, such as the mechanism of
    action; a predictor that is not told it has a hard time against this.

    Parameters
    ----------
    classes
        Class of each perturbation; ``None`` where none are known.
    """

    name = "same-class mean"

    def __init__(self, classes: pd.Series | None = None) -> None:
        self.classes = None if classes is None else classes.set_axis(classes.index.astype(str))

    def _lacks(self, screen: TrainingScreen) -> str:
        del screen
        return "no classes of perturbations were given" if self.classes is None else ""

    def _fit_shift(self, screen: TrainingScreen) -> None:
        assert self.classes is not None
        labels = screen.conditions["perturbation"]
        of_label = self.classes.reindex(labels).to_numpy()
        log10_dose = screen.log10_dose(screen.conditions["dose"].to_numpy())
        frame = pd.DataFrame({"label": labels, "class": of_label, "dose": log10_dose})
        self._rows = frame.reset_index(drop=True)
        self._shift = screen.shift

    def _why_not_condition(
        self, screen: TrainingScreen, label: str, dose: float, context: str
    ) -> str:
        del context
        if not screen.split(label) or dose == 0:
            return ""
        missing = [name for name in screen.split(label) if not self._same_class(name).any()]
        return (
            f"no other perturbation of the class of {missing[0]!r} in training" if missing else ""
        )

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        log10_dose = screen.log10_dose(single["dose"].to_numpy())
        return np.array(
            [
                self._mean_at(self._same_class(name), dose)
                for name, dose in zip(single["perturbation"], log10_dose, strict=True)
            ]
        )

    def _same_class(self, name: str) -> NDArray[np.bool_]:
        """Training conditions of other perturbations of the same class."""
        assert self.classes is not None
        same = (self._rows["class"] == self.classes.get(name)).to_numpy(dtype=bool)
        return same & (self._rows["label"] != name).to_numpy()

    def _mean_at(self, rows: NDArray[np.bool_], log10_dose: float) -> NDArray[np.float64]:
        distance = np.where(rows, np.abs(self._rows["dose"] - log10_dose), np.inf)
        return self._shift[np.isclose(distance, distance.min())].mean(axis=0)


class AdditiveShifts(MovedControl):
    """The sum of the measured shifts of the parts of a combination, at the nearest dose each."""

    name = "additive"

    def _fit_shift(self, screen: TrainingScreen) -> None:
        self._measured = _MeasuredShifts(screen)

    def _why_not_condition(
        self, screen: TrainingScreen, label: str, dose: float, context: str
    ) -> str:
        del dose
        parts = screen.split(label)
        if len(parts) < 2:
            return "not a combination"
        missing = [name for name in parts if not self._measured.doses(name, context)]
        return f"{missing[0]!r} was not measured alone" if missing else ""

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        del screen
        return np.array(
            [
                self._measured.at_nearest_dose(name, context, dose)
                for name, context, dose in _rows_of(single)
            ]
        )


class OtherContexts(_WholeLabel):
    """The measured shift of the same perturbation at the nearest dose, averaged over other contexts.

    Combinations are taken as a whole.
    """

    name = "other contexts"

    def _lacks(self, screen: TrainingScreen) -> str:
        return NO_CONTEXTS if screen.keys.context is None else ""

    def _fit_shift(self, screen: TrainingScreen) -> None:
        self._measured = _MeasuredShifts(screen)
        self._contexts = screen.contexts

    def _why_not_condition(
        self, screen: TrainingScreen, label: str, dose: float, context: str
    ) -> str:
        is_measured = not screen.split(label) or dose == 0 or self._elsewhere(label, context)
        return "" if is_measured else "not measured in another context"

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        del screen
        return np.array(
            [
                np.mean(
                    [
                        self._measured.at_nearest_dose(name, other, dose)
                        for other in self._elsewhere(name, context)
                    ],
                    axis=0,
                )
                for name, context, dose in _rows_of(single)
            ]
        )

    def _elsewhere(self, label: str, context: str) -> list[str]:
        """Contexts other than the given one in which a perturbation was measured."""
        elsewhere = [name for name in self._contexts if name != context]
        return [name for name in elsewhere if self._measured.doses(label, name)]


class DoseInterpolation(_WholeLabel):
    """The measured shift of the same perturbation, interpolated between its doses.

    Linear in the logarithm of the dose; outside the measured doses, the shift at the nearest one.
    Combinations are taken as a whole.
    """

    name = "dose interpolation"

    def _lacks(self, screen: TrainingScreen) -> str:
        return NO_DOSES if screen.keys.dose is None else ""

    def _fit_shift(self, screen: TrainingScreen) -> None:
        self._measured = _MeasuredShifts(screen)

    def _why_not_condition(
        self, screen: TrainingScreen, label: str, dose: float, context: str
    ) -> str:
        is_measured = not screen.split(label) or dose == 0 or self._measured.doses(label, context)
        return "" if is_measured else "not measured at another dose"

    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        del screen
        return np.array(
            [
                self._measured.interpolate(name, context, dose)
                for name, context, dose in _rows_of(single)
            ]
        )


class _MeasuredShifts:
    """Shifts of the training conditions by perturbation and context, doses ascending."""

    def __init__(self, screen: TrainingScreen) -> None:
        by_pair = screen.conditions.groupby(["perturbation", "context"], sort=False).indices
        dose = screen.log10_dose(screen.conditions["dose"].to_numpy())
        self._log10_dose = {pair: dose[rows] for pair, rows in by_pair.items()}
        self._shift = {pair: screen.shift[rows] for pair, rows in by_pair.items()}
        self._has_doses = screen.keys.dose is not None

    def doses(self, name: str, context: str) -> list[float]:
        return list(self._log10_dose.get((name, context), ()))

    def at_nearest_dose(self, name: str, context: str, dose: float) -> NDArray[np.float64]:
        log10_dose = self._log10_dose[name, context]
        wanted = np.log10(dose) if self._has_doses else 0.0
        return self._shift[name, context][np.abs(log10_dose - wanted).argmin()]

    def interpolate(self, name: str, context: str, dose: float) -> NDArray[np.float64]:
        log10_dose, shift = self._log10_dose[name, context], self._shift[name, context]
        upper = int(np.clip(np.searchsorted(log10_dose, np.log10(dose)), 0, len(log10_dose) - 1))
        lower = max(upper - 1, 0)
        width = log10_dose[upper] - log10_dose[lower]
        weight = (np.log10(dose) - log10_dose[lower]) / width if width > 0 else 1.0
        weight = float(np.clip(weight, 0.0, 1.0))
        return weight * shift[upper] + (1.0 - weight) * shift[lower]


def _rows_of(single: pd.DataFrame) -> list[tuple[str, str, float]]:
    columns = (single["perturbation"], single["context"], single["dose"])
    return list(zip(*columns, strict=True))
