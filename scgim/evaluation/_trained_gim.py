"""A trained generative intervention model as a predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgim._messages import warn
from scgim.evaluation._checks import check_predicted_genes
from scgim.evaluation._expression_space import log_normalize, read_expression
from scgim.model._applicability import why_abstain
from scgim.model._condition_gate import used_keys

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd
    from numpy.typing import NDArray

    from scgim.evaluation._training_screen import TrainingScreen
    from scgim.model import GIM


class TrainedGIM:
    """A generative intervention model that was trained before.

    Parameters
    ----------
    model
        The trained model.
    name
        Name in the tables of results.
    new_features
        Features of perturbations that are not in the model's table.
    """

    model: GIM
    new_features: pd.DataFrame | None = None
    _genes: NDArray[np.int64] | None = None
    """Position of each gene of the screen in the model where they differ."""

    def __init__(
        self, model: GIM, name: str = "GIM", *, new_features: pd.DataFrame | None = None
    ) -> None:
        self.model = model
        self.name = name
        self.new_features = new_features

    def fit(self, screen: TrainingScreen) -> None:
        """Look up the genes of the screen: the model is trained already.

        Parameters
        ----------
        screen
            The training cells.
        """
        names = list(self.model.get_var_names())
        order = check_predicted_genes(names, screen.adata.var_names)
        self._genes = None if order == list(range(len(names))) else np.array(order)

    def why_not(self, conditions: pd.DataFrame) -> list[str]:
        """Say of each condition why it cannot be predicted.

        Parameters
        ----------
        conditions
            Columns named as at set-up.

        Returns
        -------
        A reason per condition, empty where it can be predicted.
        """
        return [self._why_not_row(row) for row in conditions.to_dict("records")]

    def predict_shift(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Predict mean shifts.

        Parameters
        ----------
        conditions
            Columns named as at set-up.

        Returns
        -------
        Mean shift in log1p(CP10k), shape ``(n_conditions, n_genes)``.
        """
        return self.predict_interval(conditions)[0]

    def predict_interval(
        self, conditions: pd.DataFrame, level: float = 0.8
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Predict mean shifts with an interval.

        Parameters
        ----------
        conditions
            Columns named as at set-up.
        level
            Probability that the true mean shift lies inside.

        Returns
        -------
        Mean, lower and upper end in log1p(CP10k), each ``(n_conditions, n_genes)``.
        """
        predicted = self._predicted_shift(conditions, level)
        mean, lower, upper = (
            self._in_order(np.asarray(table, dtype=float))
            for table in (predicted.X, predicted.layers["lower"], predicted.layers["upper"])
        )
        return mean, lower, upper

    def why_abstain(self, conditions: pd.DataFrame) -> list[str]:
        """Say of each condition why its prediction would be an extrapolation.

        Parameters
        ----------
        conditions
            Columns named as at set-up.

        Returns
        -------
        A reason per condition, empty where training covers it.
        """
        described = self.model.predict(
            self._used(conditions), n_cells=1, features=self.new_features, output="nodes", seed=0
        )
        return why_abstain(described.obs).tolist()

    def predict_cells(
        self, conditions: pd.DataFrame, n_cells: int, *, seed: int
    ) -> NDArray[np.float32]:
        """Predict cells.

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
        predicted = self.model.predict(
            self._used(conditions), n_cells=n_cells, features=self.new_features, seed=seed
        )
        expression = self.read(predicted)
        return expression.reshape(-1, n_cells, expression.shape[1])

    def read(self, predicted: ad.AnnData) -> NDArray[np.float32]:
        """Bring predicted cells to the space in which they are scored.

        Parameters
        ----------
        predicted
            What ``GIM.predict`` returned, with sampled counts.

        Returns
        -------
        log1p(CP10k), or expression in the space of the data for the normal likelihood.
        """
        if self.model.module.likelihood.is_count:
            return self._in_order(log_normalize(predicted.X))
        return self._in_order(read_expression(predicted, None, "log1p"))

    def with_new_features(self, features: pd.DataFrame) -> TrainedGIM:
        """Make the same predictor with features of more perturbations.

        Parameters
        ----------
        features
            Features of perturbations that are not in the model's table.

        Returns
        -------
        Another predictor, with the same model.
        """
        return TrainedGIM(self.model, self.name, new_features=features)

    def knowing(self, features: pd.DataFrame) -> TrainedGIM:
        """Do as :meth:`with_new_features`, the name of which this was in 0.1; gone from 0.3 on.

        Parameters
        ----------
        features
            As there.

        Returns
        -------
        As there.
        """
        warn("`knowing` is `with_new_features` since 0.2 and goes in 0.3.", FutureWarning)
        return self.with_new_features(features)

    def _predicted_shift(self, conditions: pd.DataFrame, level: float) -> ad.AnnData:
        return self.model.predict_shift(
            self._used(conditions), level=level, features=self.new_features
        )

    def _used(self, conditions: pd.DataFrame) -> pd.DataFrame:
        """Leave out what the model was not told of: that it ignores contexts is what is scored."""
        return conditions[[name for name in conditions if name in used_keys(self.model.screen)]]

    def _in_order(self, table: NDArray[Any]) -> NDArray[Any]:
        return table if self._genes is None else table[:, self._genes]

    def _categories(self) -> dict[str, set[str]]:
        """Values of batch and categorical covariates that the model knows."""
        screen = self.model.screen
        values = {key: set(map(str, known)) for key, known in screen.categorical_covariates.items()}
        if screen.batch_key is not None:
            values[screen.batch_key] = set(map(str, screen.batches))
        return values

    def _why_not_row(self, row: dict[str, object]) -> str:
        screen = self.model.screen
        for key, known in self._categories().items():
            if key in row and str(row[key]) not in known:
                return f"{str(row[key])!r} was not in training"
        parts = screen.table.parts_of(str(row[screen.perturbation_key]))
        unseen = [name for name in parts if not screen.is_seen(name)]
        features = screen.table.features
        missing = [name for name in unseen if features is None or name not in features.index]
        if missing:
            return f"not in training, and without features: {missing[0]!r}"
        if unseen and not self.model.has_generator:
            return "too few perturbations to learn from features"
        return ""
