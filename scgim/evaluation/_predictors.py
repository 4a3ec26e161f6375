"""What an evaluation asks of a predictor, and GIM as one that is trained on the screen."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import scvi
import torch

from scgim.evaluation._trained_gim import TrainedGIM
from scgim.model import GIM

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anndata as ad
    import pandas as pd
    from numpy.typing import NDArray

    from scgim.evaluation._training_screen import TrainingScreen

N_GAUGE_CELLS = 20


class Predictor(Protocol):
    """Anything that predicts the cells of conditions after seeing a screen.

    Conditions are tables with the columns of the screen that name perturbation and dose.

    Attributes
    ----------
    name
        Name in the tables of results.
    """

    name: str

    def fit(self, screen: TrainingScreen) -> None:
        """Learn from the training cells, and from nothing else."""

    def predict_shift(self, conditions: pd.DataFrame) -> NDArray[np.float64]:
        """Predict mean shifts from control in log1p(CP10k), ``(n_conditions, n_genes)``."""

    def predict_cells(
        self, conditions: pd.DataFrame, n_cells: int, *, seed: int
    ) -> NDArray[np.float32]:
        """Predict cells in log1p(CP10k), shape ``(n_conditions, n_cells, n_genes)``."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set the seed of scvi-tools for a while, and put back the user's.

    Parameters
    ----------
    seed
        Seed of initialisation and training.
    """
    before = scvi.settings.seed
    with torch.random.fork_rng():
        scvi.settings.seed = seed
        try:
            yield
        finally:
            scvi.settings.seed = before


class GIMPredictor(TrainedGIM):
    """A generative intervention model that is trained on the screen.

    Parameters
    ----------
    name
        Name in the tables of results.
    n_nodes
        Nodes of the model.
    train_kwargs
        Arguments of ``GIM.train``.
    measure_gauge
        Whether to choose the basis of the nodes, which predictions do not depend on, and measure it.
    seed
        Seed of initialisation and training.

    Attributes
    ----------
    model
        The trained model.
    seconds_after_training
        Seconds that the intervention generator and the choice of basis took, shape ``()``.
    gauge_drift
        Largest change of a predicted log-rate through ``GIM.fix_gauge``.
    """

    seconds_after_training: float
    gauge_drift: float

    def __init__(
        self,
        name: str = "GIM",
        *,
        n_nodes: int = 10,
        train_kwargs: dict[str, Any] | None = None,
        measure_gauge: bool = True,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.n_nodes = n_nodes
        self.train_kwargs = train_kwargs or {}
        self.measure_gauge = measure_gauge
        self.seed = seed

    def fit(self, screen: TrainingScreen) -> None:
        """Set up a copy of the training cells and train.

        Parameters
        ----------
        screen
            The training cells.
        """
        quiet = {"enable_progress_bar": False, "logger": False}
        with seeded(self.seed):
            adata = self._set_up(screen)
            self.model.train(fix_gauge=False, **(quiet | self.train_kwargs))
        if self.measure_gauge:
            self._finish(adata[np.flatnonzero(screen.is_control)[:N_GAUGE_CELLS]].copy(), screen)

    def with_features(self, screen: TrainingScreen, name: str) -> GIMPredictor:
        """Learn from other features of the same cells what follows training, and only that.

        Training gives each perturbation a row of its own and does not look at features, so the result
        is that of a training with these features from the start.

        Parameters
        ----------
        screen
            The cells that this model was trained on, with other features.
        name
            Name in the tables of results.

        Returns
        -------
        Another predictor.
        """
        other = GIMPredictor(name, n_nodes=self.n_nodes, measure_gauge=False)
        other._set_up(screen)
        other.model.module.load_state_dict(self.model.module.state_dict())
        other.model.is_trained_ = True
        other.model.module.eval()
        other.model.learn_interventions()
        return other

    def _set_up(self, screen: TrainingScreen) -> ad.AnnData:
        """Register a copy of the training cells and make an untrained model of it."""
        adata, keys = screen.adata.copy(), screen.keys
        is_counted = screen.space == "counts"
        if not is_counted:
            adata.X = screen.expression
        GIM.setup_anndata(
            adata,
            perturbation_key=keys.perturbation,
            control=keys.control,
            dose_key=keys.dose,
            features_key=keys.features,
            layer=keys.layer if is_counted else None,
            categorical_covariate_keys=None if keys.context is None else [keys.context],
        )
        self.model = GIM(
            adata, n_nodes=self.n_nodes, gene_likelihood="nb" if is_counted else "normal"
        )
        return adata

    def _finish(self, control: ad.AnnData, screen: TrainingScreen) -> None:
        """Repeat what follows training, timed, and see what the choice of basis changes."""
        start = time.perf_counter()
        self.model.learn_interventions()
        learning = time.perf_counter() - start
        conditions = screen.keys.named(
            screen.conditions.drop_duplicates("perturbation", keep="last")
        )
        before = self._log_rates(conditions, control)
        start = time.perf_counter()
        self.model.fix_gauge()
        self.seconds_after_training = learning + time.perf_counter() - start
        self.gauge_drift = float(np.abs(self._log_rates(conditions, control) - before).max())

    def _log_rates(self, conditions: pd.DataFrame, control: ad.AnnData) -> NDArray[np.float64]:
        """Log-rates of given control cells under given conditions, which have no randomness."""
        predicted = self.model.predict(conditions, adata=control, output="normalized", seed=0)
        return np.log(np.asarray(predicted.X, dtype=float))


class RefittedGIM(TrainedGIM):
    """A trained GIM that learns from the features of a screen anew, without training again.

    Training does not look at features, so this is what a training on other features would come to.
    Made for ``retrain`` of :func:`audit_features`.

    Parameters
    ----------
    gim
        Predictor that was fitted on the same cells.
    name
        Name in the tables of results.
    """

    def __init__(self, gim: GIMPredictor, name: str = "GIM, refitted") -> None:
        super().__init__(gim.model, name)
        self._trained = gim

    def fit(self, screen: TrainingScreen) -> None:
        """Learn the intervention generator from the features of the screen.

        Parameters
        ----------
        screen
            The cells of the training, with whatever features.
        """
        self.model = self._trained.with_features(screen, self.name).model
        super().fit(screen)
