"""Several trainings of a GIM as one predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim.evaluation._trained_gim import TrainedGIM
from scgim.model import predict_pooled_shift

if TYPE_CHECKING:
    from collections.abc import Sequence

    import anndata as ad
    import pandas as pd
    from numpy.typing import NDArray

    from scgim.evaluation._training_screen import TrainingScreen


class PooledGIM(TrainedGIM):
    """Several trainings of a GIM as one predictor, by :func:`scgim.model.predict_pooled_shift`.

    Cells are drawn from all trainings in turn.

    Parameters
    ----------
    members
        Trainings of the same screen with different seeds: trained ones, or a
        :class:`GIMPredictor` for each that :meth:`fit` is to train.
    name
        Name in the tables of results.
    """

    def __init__(self, members: Sequence[TrainedGIM], name: str = "GIM, pooled") -> None:
        self.members = list(members)
        self.name = name

    def fit(self, screen: TrainingScreen) -> None:
        """Fit the members.

        Parameters
        ----------
        screen
            The training cells.
        """
        for member in self.members:
            member.fit(screen)
        self.model = self.members[0].model
        super().fit(screen)

    def predict_cells(
        self, conditions: pd.DataFrame, n_cells: int, *, seed: int
    ) -> NDArray[np.float32]:
        """Predict cells, an equal share by each member.

        Parameters
        ----------
        conditions
            Columns named as at set-up.
        n_cells
            Cells per condition.
        seed
            Seed of the cells.

        Returns
        -------
        log1p(CP10k), shape ``(n_conditions, n_cells, n_genes)``.
        """
        shares = [len(share) for share in np.array_split(np.arange(n_cells), len(self.members))]
        cells = [
            member.predict_cells(conditions, share, seed=seed + number)
            for number, (member, share) in enumerate(zip(self.members, shares, strict=True))
            if share
        ]
        return np.concatenate(cells, axis=1)

    def with_new_features(self, features: pd.DataFrame) -> PooledGIM:
        """Make the same predictor with features of more perturbations.

        Parameters
        ----------
        features
            Features of perturbations that are not in the models' table.

        Returns
        -------
        Another predictor, with the same models.
        """
        return PooledGIM([member.with_new_features(features) for member in self.members], self.name)

    def _predicted_shift(self, conditions: pd.DataFrame, level: float) -> ad.AnnData:
        models = [member.model for member in self.members]
        features = self.members[0].new_features
        return predict_pooled_shift(models, self._used(conditions), level=level, features=features)
