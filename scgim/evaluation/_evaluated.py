"""What can be evaluated: trained models, predicted cells, and objects that predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import anndata as ad
import pandas as pd

from scgim._messages import quote_some
from scgim.evaluation._held_out_cells import HeldOutCells, describe_conditions
from scgim.evaluation._predicted_cells import predict_conditions, read_cells
from scgim.evaluation._trained_gim import TrainedGIM
from scgim.model import GIM

if TYPE_CHECKING:
    from collections.abc import Sequence
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


def check_not_trained_on(seen: Sequence[str]) -> None:
    """Raise if a model was trained on conditions that are held out.

    Parameters
    ----------
    seen
        Held-out conditions that the model has seen, in words.
    """
    if seen:
        msg = (
            f"This GIM was trained on {len(seen)} of the held-out conditions: {quote_some(seen)}. Its "
            "score would be that of memory. Train it on `split.training(adata)`."
        )
        raise ValueError(msg)


def refuse_predictor(value: object) -> TypeError:
    """Word the error for something that cannot be evaluated.

    Parameters
    ----------
    value
        What was passed.

    Returns
    -------
    The error, to be raised.
    """
    msg = (
        f"An object of type {type(value).__name__!r} cannot be evaluated. Pass a trained `scgim.model.GIM`, an AnnData of "
        "predicted cells, an object with `name`, `fit`, `predict_shift` and `predict_cells`, or a "
        "dictionary from names to these."
    )
    return TypeError(msg)
