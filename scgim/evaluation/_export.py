"""Predictions and truth in the conventions of other tools for evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd

from scgim.evaluation._evaluate import prepare
from scgim.evaluation._evaluated import name_predictors, predict_held_out
from scgim.evaluation._scoring import ScoringSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scgim.evaluation._evaluated import Evaluated
    from scgim.evaluation._held_out_cells import HeldOutCells
    from scgim.evaluation._scoring import Prediction
    from scgim.evaluation._splits import Split
    from scgim.evaluation._training_screen import TrainingScreen

CONTROL = "control"
PREDICTED, OBSERVED = "predicted", "observed"


class CellEvalPair(NamedTuple):
    """Two AnnData for ``cell_eval.MetricsEvaluator``.

    Attributes
    ----------
    adata_pred
        Predicted cells, and the control cells that predictors may see.
    adata_real
        Held-out cells, and the control cells of the truth: no cell is in both.
    """

    adata_pred: ad.AnnData
    adata_real: ad.AnnData


def to_cell_eval(
    predictor: Evaluated,
    adata: ad.AnnData,
    split: Split,
    *,
    settings: ScoringSettings | None = None,
) -> CellEvalPair:
    """Write predictions and truth for cell-eval.

    ``obs["perturbation"]`` names the condition with its dose and context, ``"control"`` the control;
    ``X`` is as scgim scores it, log1p(CP10k) of counts. So the pair is read by
    ``MetricsEvaluator(adata_pred=…, adata_real=…, pert_col="perturbation", control_pert="control",
    is_log1p=True)``.

    Parameters
    ----------
    predictor
        As for :func:`evaluate`, one of them.
    adata
        The whole screen.
    split
        What is held out.
    settings
        How many cells to predict, and the seed that divides the control cells.

    Returns
    -------
    The pair. Conditions that the predictor cannot predict are in neither.

    See Also
    --------
    to_pertpy : The same for pertpy.
    """
    screen, truth, prediction = _predict(predictor, adata, split, settings or ScoringSettings())
    rows = np.flatnonzero(prediction.can_predict)
    labels = np.array(truth.labels, dtype=object)
    seen, unseen = _controls(screen, truth)
    genes = screen.adata.var_names
    predicted = _stack([*prediction.cells(rows), seen], [*labels[rows], CONTROL], genes)
    real = _stack(
        [*(truth.cells_of(int(row)) for row in rows), unseen], [*labels[rows], CONTROL], genes
    )
    return CellEvalPair(predicted, real)


def to_pertpy(
    predictor: Evaluated,
    adata: ad.AnnData,
    split: Split,
    *,
    settings: ScoringSettings | None = None,
) -> ad.AnnData:
    """Write predictions and truth for pertpy.

    One AnnData with ``obs``: ``perturbation`` (``"control"`` for the control), ``dose_value``,
    ``context``, ``source`` (predicted, observed or control) and ``condition``, which
    ``pertpy.tl.Distance(...).pairwise(adata, groupby="condition")`` compares; ``obsm["X_pca"]`` are
    principal components of the training cells, which its distances read.

    Parameters
    ----------
    predictor
        As for :func:`evaluate`, one of them.
    adata
        The whole screen.
    split
        What is held out.
    settings
        How many cells to predict, and the seed that divides the control cells.

    Returns
    -------
    Predicted, held-out and control cells; ``X`` as scgim scores it.

    See Also
    --------
    to_cell_eval : The same for cell-eval.
    """
    screen, truth, prediction = _predict(predictor, adata, split, settings or ScoringSettings())
    rows = np.flatnonzero(prediction.can_predict)
    groups = {
        PREDICTED: prediction.cells(rows),
        OBSERVED: [truth.cells_of(int(row)) for row in rows],
    }
    parts = []
    for source, cells in groups.items():
        labels = [f"{truth.labels[row]} ({source})" for row in rows]
        part = _stack(cells, labels, screen.adata.var_names, column="condition")
        design = truth.plain.iloc[np.repeat(rows, [len(group) for group in cells])]
        columns = {name: values.to_numpy() for name, values in design.items()}
        parts.append(_describe(part, source, **columns))
    control = np.vstack(_controls(screen, truth))
    part = _stack([control], [CONTROL], screen.adata.var_names, column="condition")
    parts.append(_describe(part, CONTROL, perturbation=CONTROL, dose=0.0, context=""))
    joined = ad.concat(parts, index_unique="-")
    joined.obsm["X_pca"] = screen.pca.transform(joined.X)
    return joined


def _predict(
    predictor: Evaluated, adata: ad.AnnData, split: Split, settings: ScoringSettings
) -> tuple[TrainingScreen, HeldOutCells, Prediction]:
    screen, truth = prepare(adata, split, settings)
    ((name, value),) = name_predictors(predictor).items()
    return screen, truth, predict_held_out(name, value, screen, truth, settings)[0]


def _controls(
    screen: TrainingScreen, truth: HeldOutCells
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Control cells of the predictors and those of the truth."""
    return screen.expression[screen.is_control], np.vstack(list(truth.control_cells.values()))


def _stack(
    groups: list[NDArray[np.float32]],
    labels: list[str],
    genes: pd.Index,
    column: str = "perturbation",
) -> ad.AnnData:
    names = np.repeat(np.array(labels, dtype=object), [len(group) for group in groups])
    obs = pd.DataFrame({column: names}, index=pd.RangeIndex(len(names)).astype(str))
    return ad.AnnData(
        np.concatenate(groups).astype(np.float32), obs=obs, var=pd.DataFrame(index=genes)
    )


def _describe(
    part: ad.AnnData, source: str, *, perturbation: object, dose: object, context: object
) -> ad.AnnData:
    part.obs["perturbation"] = perturbation
    part.obs["dose_value"] = dose
    part.obs["context"] = context
    part.obs["source"] = source
    return part
