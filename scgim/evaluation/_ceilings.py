"""What no model can do much better than: ceilings that look at the held-out cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import torch

from scgim.evaluation._held_out_cells import moments_of
from scgim.evaluation._scoring import METRICS, Prediction, Scorer
from scgim.scm import shift_nodes
from scgim.spaces._population import Population

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scgim.evaluation._held_out_cells import HeldOutCells
    from scgim.evaluation._trained_gim import TrainedGIM
    from scgim.evaluation._training_screen import TrainingScreen

DUPLICATE, AUTOENCODER, ORACLE = "technical duplicate", "autoencoder", "oracle intervention"
CEILINGS = (DUPLICATE, AUTOENCODER, ORACLE)
ONLY_FOR_GIM = "only for a GIM"
MAX_CONTROL_CELLS = 1000
N_SHIFT_CELLS = 512
N_DRAWN = 100


def score_duplicate(scorer: Scorer) -> pd.DataFrame:
    """Score one half of the held-out cells of each condition against the other half.

    Both halves are smaller than the truth that predictors meet, so this ceiling is on the low side.

    Parameters
    ----------
    scorer
        Knows the held-out cells.

    Returns
    -------
    As :meth:`Scorer.score`.
    """
    truth = scorer.truth
    predicted, target = truth.halves(scorer.settings.seed)
    kept = np.flatnonzero(truth.moments.n_cells > 1)
    reason = "fewer than two held-out cells"
    nothing = pd.DataFrame(
        [(row, metric.name, np.nan, reason) for row in np.flatnonzero(truth.moments.n_cells < 2)
         for metric in METRICS],
        columns=["condition", "metric", "value", "reason"],
    )  # fmt: skip
    if not len(kept):
        return nothing
    control = np.array(
        [scorer.screen.control_mean_of(context) for context in predicted.plain["context"]]
    )
    prediction = Prediction(
        DUPLICATE,
        predicted.moments.mean - control,
        [""] * len(kept),
        lambda rows: [predicted.cells_of(row) for row in rows],
    )
    scores = Scorer(scorer.screen, target, scorer.settings).score(prediction)
    scores["condition"] = kept[scores["condition"]]
    return pd.concat([scores, nothing], ignore_index=True) if len(nothing) else scores


class GIMCeilings:
    """Two ceilings of a trained GIM: how well it could decode, and how well it could intervene.

    Parameters
    ----------
    gim
        The trained model.
    screen
        Its training cells.
    truth
        The held-out cells.
    """

    def __init__(self, gim: TrainedGIM, screen: TrainingScreen, truth: HeldOutCells) -> None:
        self._gim = gim
        self._screen = screen
        self._truth = truth
        self._held_out = self._as_control(truth.cells, truth.expression)
        rows = {
            context: screen.control_cells(context)[:MAX_CONTROL_CELLS]
            for context in dict.fromkeys(truth.plain["context"])
        }
        self._control = {
            context: self._as_control(screen.adata[index], screen.expression[index])
            for context, index in rows.items()
        }

    def autoencoder(self) -> Prediction:
        """Encode the held-out cells and decode them again.

        Returns
        -------
        What the decoder makes of them: no intervention can be predicted better than it can be decoded.
        """
        decoded, starts = self._decode(self._held_out), self._truth.starts

        def cells_of(index: int) -> NDArray[np.float32]:
            return decoded[starts[index] : starts[index + 1]]

        groups = [cells_of(index) for index in range(self._truth.n_conditions)]
        control = {
            context: self._decode(cells).mean(axis=0, dtype=np.float64)
            for context, cells in self._control.items()
        }
        reference = np.array([control[context] for context in self._truth.plain["context"]])
        return Prediction(
            AUTOENCODER,
            moments_of(groups).mean - reference,
            [""] * len(groups),
            lambda rows: [groups[row] for row in rows],
        )

    def oracle_intervention(self) -> Prediction:
        """Read the intervention off the held-out cells and predict with it.

        Returns
        -------
        What the causal model makes of the best shift of its mechanisms: no features can tell more.
        """
        starts, contexts = self._truth.starts, self._truth.plain["context"]
        residual = self._residual(self._held_out)
        control = {
            context: self._residual(cells).mean(axis=0) for context, cells in self._control.items()
        }
        shifts = np.array(
            [
                residual[start:stop].mean(axis=0) - control[context]
                for start, stop, context in zip(starts[:-1], starts[1:], contexts, strict=True)
            ]
        )

        def cells(rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
            return [self._draw(shifts[row], contexts[row], seed=int(row)) for row in rows]

        return Prediction(ORACLE, self._mean_shift(shifts), [""] * len(shifts), cells)

    def _mean_shift(self, shifts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean shift of expression by a shift of the mechanisms, over control cells of its context."""
        model, contexts = self._gim.model, self._truth.plain["context"].to_numpy()
        mean = np.empty_like(self._truth.shift)
        for context in self._control:
            rows = np.flatnonzero(contexts == context)
            population = Population(
                model.module,
                model.fitted.statistics,
                n_cells=N_SHIFT_CELLS,
                is_member=self._is_member(context),
            )
            mean[rows] = population.mean_shift(shift_nodes(torch.as_tensor(shifts[rows]))).numpy()
        return mean

    def _is_member(self, context: str) -> NDArray[np.bool_] | None:
        """Which control cells of the training are of a context; ``None`` if the model knows of none."""
        key, screen = self._screen.keys.context, self._gim.model.screen
        statistics = self._gim.model.fitted.statistics
        if key is not None and key == screen.batch_key:
            code, values = statistics.control_batch, screen.batches
        elif key in screen.categorical_covariates:
            column = list(screen.categorical_covariates).index(key)
            code = statistics.control_categories[:, column]
            values = screen.categorical_covariates[key]
        else:
            return None
        return code == list(map(str, values)).index(context)

    def _draw(self, shift: NDArray[np.float64], context: str, seed: int) -> NDArray[np.float32]:
        model, key = self._gim.model, self._screen.keys.context
        named = dict(zip(model.node_names_, shift.tolist(), strict=True))
        place = None if self._is_member(context) is None else {str(key): context}
        return self._gim.read(model.do(named, n_cells=N_DRAWN, context=place, seed=seed))

    def _residual(self, cells: ad.AnnData) -> NDArray[np.float64]:
        """Compute what the mechanisms leave of the nodes of given cells, in noise deviations."""
        nodes = np.asarray(self._gim.model.get_latent_representation(cells), dtype=np.float64)
        weights = self._gim.model.get_causal_graph().to_numpy()
        return nodes - nodes @ weights

    def _decode(self, cells: ad.AnnData) -> NDArray[np.float32]:
        keys = self._screen.keys
        control = pd.DataFrame({keys.perturbation: [keys.control]})
        if keys.dose is not None:
            control[keys.dose] = 0.0
        return self._gim.read(self._gim.model.predict(control, adata=cells, seed=0))

    def _as_control(self, cells: ad.AnnData, expression: NDArray[np.float32]) -> ad.AnnData:
        """Copy cells as if they were control cells: the encoder must not know the perturbation."""
        keys = self._screen.keys
        obs = cells.obs.copy()
        obs[keys.perturbation] = keys.control
        if keys.dose is not None:
            obs[keys.dose] = 0.0
        is_counted = self._screen.space == "counts"
        layers = (
            {} if keys.layer is None or not is_counted else {keys.layer: cells.layers[keys.layer]}
        )
        return ad.AnnData(
            cells.X.copy() if is_counted else expression,
            obs=obs.set_axis(pd.RangeIndex(len(obs)).astype(str)),
            var=pd.DataFrame(index=cells.var_names),
            layers=layers,
        )
