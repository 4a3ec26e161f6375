"""What can be evaluated: trained models, predicted cells, and objects that predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import anndata as ad
import pandas as pd

from scgim.evaluation._checks import check_not_trained_on, refuse_predictor
from scgim.evaluation._held_out_cells import HeldOutCells, describe_conditions
from scgim.evaluation._predicted_cells import predict_conditions, read_cells
from scgim.evaluation._trained_gim import TrainedGIM
from scgim.model import GIM

if TYPE_CHECKING:
    from typing import TypeAlias

    from scgim.evaluation._predictors import Predictor
    from scgim.evaluation._scoring import Prediction, ScoringSettings
    from scgim.evaluation._training_screen import TrainingScreen

    Evaluated: TypeAlias = GIM | Predictor | ad.AnnData


def predict_held_out(
    name: str,
    value: Evaluated,
    screen: TrainingScreen,
    truth: HeldOutCells,
    settings: ScoringSettings,
) -> tuple[Prediction, TrainedGIM | None]:
    """Get predictions of the held-out conditions from whatever was handed over.

    Parameters
    ----------
    name
        Name in the tables of results.
    value
        A trained GIM, predicted cells or a predictor, which is fitted.
    screen
        The training cells.
    truth
        The held-out cells.
    settings
        How many cells to predict.

    Returns
    -------
    The predictions, and the GIM that made them if it was one.
    """
    if isinstance(value, ad.AnnData):
        return read_cells(value, name, screen, truth, settings), None
    predictor: Predictor = TrainedGIM(value, name) if isinstance(value, GIM) else value
    if not all(hasattr(predictor, part) for part in ("fit", "predict_shift", "predict_cells")):
        raise refuse_predictor(value)
    if isinstance(value, GIM):
        _check_honest(TrainedGIM(value, name), screen, truth)
    predictor.fit(screen)
    prediction = replace(predict_conditions(predictor, truth, settings), name=name)
    return prediction, predictor if isinstance(predictor, TrainedGIM) else None


def name_predictors(predictors: Evaluated | Mapping[str, Evaluated]) -> dict[str, Evaluated]:
    """Give each of the predictors a name.

    Parameters
    ----------
    predictors
        As for :func:`evaluate`.

    Returns
    -------
    Predictors by name.
    """
    if isinstance(predictors, Mapping):
        return {str(name): value for name, value in predictors.items()}
    if isinstance(predictors, ad.AnnData):
        return {"predictions": predictors}
    return {"GIM" if isinstance(predictors, GIM) else _name_of(predictors): predictors}


def _name_of(predictor: Predictor) -> str:
    if not hasattr(predictor, "name"):
        raise refuse_predictor(predictor)
    return predictor.name


def _check_honest(gim: TrainedGIM, training: TrainingScreen, truth: HeldOutCells) -> None:
    """Refuse a model that has seen a held-out condition, in whatever context."""
    keys, screen = training.keys, gim.model.screen
    columns = ["perturbation"] if keys.dose is None else ["perturbation", "dose"]
    allowed = pd.MultiIndex.from_frame(training.conditions[columns])
    held_out = pd.MultiIndex.from_frame(truth.plain[columns])
    seen = pd.MultiIndex.from_frame(screen.conditions[columns].astype({"perturbation": str}))
    is_seen = held_out.isin(seen) & ~held_out.isin(allowed)
    check_not_trained_on(describe_conditions(truth.conditions[is_seen]))
