"""Base of predictors that move control cells by a mean shift."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from scgim.evaluation._checks import check_is_fitted

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from scgim.evaluation._training_screen import TrainingScreen


class MovedControl(ABC):
    """A predictor of mean shifts; its cells are control cells moved by the shift.

    The shift of the control and of dose 0 is 0, that of a combination ``"A+B"`` the sum of its parts.

    Attributes
    ----------
    name
        Name in the tables of results.
    """

    name: str
    _screen: TrainingScreen | None = None
    _why_not: str = ""

    def fit(self, screen: TrainingScreen) -> None:
        """Learn from the training cells, unless :meth:`why_not` says why that is not possible.

        Parameters
        ----------
        screen
            The training cells.
        """
        self._screen = screen
        self._why_not = self._lacks(screen)
        if not self._why_not:
            self._fit_shift(screen)

    def why_not(self, conditions: pd.DataFrame) -> list[str]:
        """Say of each condition why it cannot be predicted.

        Parameters
        ----------
        conditions
            Columns of perturbation, dose and context, named as in the screen.

        Returns
        -------
        A reason per condition, empty where it can be predicted.
        """
        screen = self._fitted_screen()
        if self._why_not:
            return [self._why_not] * len(conditions)
        plain = screen.keys.plain(conditions)
        rows = zip(plain["perturbation"], plain["dose"], plain["context"], strict=True)
        return [self._why_not_condition(screen, *row) for row in rows]

    def predict_shift(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Predict mean shifts from control.

        Parameters
        ----------
        conditions
            Columns of perturbation, dose and context, named as in the screen.

        Returns
        -------
        Mean shift in log1p(CP10k), shape ``(n_conditions, n_genes)``; NaN where :meth:`why_not` has a
        reason.
        """
        screen = self._fitted_screen()
        can_predict = np.array([not reason for reason in self.why_not(conditions)], dtype=bool)
        shift = np.full((len(conditions), screen.adata.n_vars), np.nan)
        if can_predict.any():
            shift[can_predict] = self._shift_of_conditions(
                screen, screen.keys.plain(conditions[can_predict])
            )
        return shift

    def predict_cells(
        self, conditions: pd.DataFrame, n_cells: int, *, seed: int
    ) -> NDArray[np.float32]:
        """Move randomly drawn control cells of the context by the predicted shift.

        Parameters
        ----------
        conditions
            Columns of perturbation, dose and context, named as in the screen.
        n_cells
            Cells per condition.
        seed
            Seed of the draw.

        Returns
        -------
        log1p(CP10k), shape ``(n_conditions, n_cells, n_genes)``; values below 0 are left as they are.
        """
        screen = self._fitted_screen()
        rng = np.random.default_rng(seed)
        contexts = screen.keys.plain(conditions)["context"].to_numpy()
        drawn = np.zeros((len(conditions), n_cells), dtype=np.int64)
        for context in dict.fromkeys(contexts):
            rows = contexts == context
            drawn[rows] = rng.choice(screen.control_cells(context), (int(rows.sum()), n_cells))
        shift = self.predict_shift(conditions).astype(np.float32)
        return screen.expression[drawn] + shift[:, None, :]

    @abstractmethod
    def _fit_shift(self, screen: TrainingScreen) -> None:
        """Learn whatever the shift needs."""

    @abstractmethod
    def _shift_of(self, screen: TrainingScreen, single: pd.DataFrame) -> NDArray[np.float64]:
        """Predict the shift of single perturbations at doses above 0."""

    def _lacks(self, screen: TrainingScreen) -> str:  # noqa: ARG002 - for those that need something
        """Say what a screen lacks for this predictor."""
        return ""

    def _why_not_condition(
        self,
        screen: TrainingScreen,  # noqa: ARG002 - for those that look
        label: str,  # noqa: ARG002
        dose: float,  # noqa: ARG002
        context: str,  # noqa: ARG002
    ) -> str:
        """Say why one condition cannot be predicted by a predictor that lacks nothing else."""
        return ""

    def _shift_of_conditions(
        self, screen: TrainingScreen, plain: pd.DataFrame
    ) -> NDArray[np.float64]:
        """Add up the shifts of the single perturbations of each condition."""
        shift = np.zeros((len(plain), screen.adata.n_vars))
        row, single = _singles(screen, plain)
        if len(row):
            np.add.at(shift, row, self._shift_of(screen, single))
        return shift

    def _fitted_screen(self) -> TrainingScreen:
        check_is_fitted(self.name, is_fitted=self._screen is not None)
        assert self._screen is not None
        return self._screen


def _singles(screen: TrainingScreen, plain: pd.DataFrame) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Split combinations: the row of each single perturbation, and its name, dose and context."""
    parts = [screen.split(label) for label in plain["perturbation"]]
    row = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    single = plain.iloc[row].assign(perturbation=[name for part in parts for name in part])
    is_dosed = (single["dose"] > 0).to_numpy()
    return row[is_dosed], single[is_dosed].reset_index(drop=True)
