"""Checks on what is evaluated: predictions, held-out cells and their controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim._messages import closest, quote_some, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

SPACES = {
    "counts": "counts (whole numbers)",
    "normalized": "normalised counts without a logarithm",
    "log1p": "log1p of normalised counts",
    "scaled": "scaled expression (centred genes, a fifth or more of the values below 0)",
}
MIN_CONTROL_CELLS = 4
SAME_TOTAL = (500.0, 30_000.0)
"""Totals that log1p(CP10k) can have: means of logarithms lie below, rounding hardly above 10,000."""


def check_predicted_genes(predicted: Sequence[str], genes: Sequence[str]) -> list[int]:
    """Find the genes of a screen among those of predictions.

    Parameters
    ----------
    predicted
        Genes of the predictions.
    genes
        Genes of the screen.

    Returns
    -------
    Position of each gene of the screen in the predictions.
    """
    names = list(map(str, predicted))
    position = {name: index for index, name in enumerate(names)}
    missing = [name for name in genes if name not in position]
    if missing:
        msg = (
            f"`predictions` lack {len(missing)} of the {len(genes)} genes of `adata`: "
            f"{quote_some(missing)}. The names closest to {missing[0]!r} are "
            f"{closest(missing[0], names)}. Predict every gene, or evaluate on "
            "`adata[:, predictions.var_names]`."
        )
        raise ValueError(msg)
    if len(position) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        msg = (
            f"`predictions.var_names` has {quote_some(repeated)} more than once, so it is not clear "
            "which column to score. Make them unique."
        )
        raise ValueError(msg)
    extra = [name for name in names if name not in set(genes)]
    order = [position[name] for name in genes]
    if extra:
        warn(
            f"`predictions` have {len(extra)} genes that `adata` lacks: {quote_some(extra)}. They are "
            "left out, also from the totals by which counts are normalised."
        )
    elif order != sorted(order):
        warn(
            "`predictions` have the genes of `adata` in another order. They are put in order by name: "
            "make sure that the names belong to the columns."
        )
    return order


def check_comparable_space(
    found: str, expected: str, *, n_genes: int, total: float | None = None
) -> None:
    """Raise where predictions are in a space that cannot be compared with that of the screen.

    Parameters
    ----------
    found
        Space of the predictions.
    expected
        Space of the screen.
    n_genes
        Number of genes, which the totals are taken over.
    total
        Median total of predictions after their logarithm is undone, if they have one.
    """
    if total is not None and not SAME_TOTAL[0] <= total <= SAME_TOTAL[1]:
        msg = (
            f"`predictions` hold {SPACES['log1p']}, with a median total of {total:.0f} over the "
            f"{n_genes} genes, but `adata` is scored as log1p of counts per 10,000 over these genes. "
            "Predict counts, or normalise to 10,000 before the logarithm."
        )
        raise ValueError(msg)
    is_counted = expected in {"counts", "normalized"}
    is_comparable = found != "scaled" if is_counted else found in {"log1p", "scaled"}
    if not is_comparable:
        scored = "log1p of counts per 10,000" if is_counted else "it is"
        msg = (
            f"`predictions` hold {SPACES[found]}, but `adata` holds {SPACES[expected]} and is scored "
            f"as {scored}. Predict in that space, or undo the transformation before evaluating."
        )
        raise ValueError(msg)


def check_finite_expression(values: NDArray[np.generic]) -> None:
    """Raise if predicted expression has missing or infinite values.

    Parameters
    ----------
    values
        Values of the predictions.
    """
    n_bad = int(np.size(values) - np.isfinite(np.asarray(values, dtype=float)).sum())
    if n_bad:
        msg = (
            f"`predictions` have {n_bad} values that are NaN or infinite. A model that diverged has "
            "no score: repair or retrain it, or leave out these conditions for all predictors."
        )
        raise ValueError(msg)


def check_predicted_shift(name: str, shift: NDArray[np.float64], *, expected: int) -> None:
    """Raise if a predictor gives NaN without saying why, or the wrong number of conditions.

    Parameters
    ----------
    name
        Name of the predictor.
    shift
        Its shifts, conditions that it cannot predict left out.
    expected
        Number of conditions that it was asked for.
    """
    if len(shift) != expected:
        msg = (
            f"The predictor {name!r} gave {len(shift)} shifts for {expected} conditions. Return one "
            "row per condition, in the order of the table."
        )
        raise ValueError(msg)
    n_bad = int((~np.isfinite(shift)).any(axis=1).sum())
    if n_bad:
        msg = (
            f"The predictor {name!r} gave shifts that are NaN or infinite for {n_bad} of {expected} "
            "conditions. Repair it, or let its `why_not` say why it cannot predict them."
        )
        raise ValueError(msg)


def check_predicted_columns(missing: Sequence[str], columns: Collection[str]) -> None:
    """Raise if predictions do not say which condition a cell belongs to.

    Parameters
    ----------
    missing
        Columns that are needed and not there.
    columns
        Columns of the predictions.
    """
    if missing:
        msg = (
            f"`predictions.obs` has no column {missing[0]!r}; the columns closest to it are "
            f"{closest(missing[0], columns)}. Name perturbation, dose and context as in `adata.obs`."
        )
        raise ValueError(msg)


def check_predicted_conditions(missing: Sequence[str], n_expected: int) -> None:
    """Raise if predictions lack conditions that are held out.

    Parameters
    ----------
    missing
        Held-out conditions without predicted cells, in words.
    n_expected
        Number of held-out conditions.
    """
    if missing:
        msg = (
            f"`predictions` have no cells for {len(missing)} of {n_expected} held-out conditions: "
            f"{quote_some(missing)}. Predict them all, with `obs` columns named as in `adata`: a score "
            "over conditions that a predictor chose itself cannot be compared."
        )
        raise ValueError(msg)


def check_no_copied_cells(*, n_control: int, n_held_out: int, control: str) -> None:
    """Raise if predictions contain cells of the screen itself.

    Parameters
    ----------
    n_control
        Predicted control cells that equal control cells of the screen.
    n_held_out
        Predicted cells that equal held-out cells.
    control
        Label of the control.
    """
    if n_held_out:
        msg = (
            f"{n_held_out} cells of `predictions` are copies of held-out cells of `adata`. Their score "
            "would be that of the truth. Pass predictions of a model that did not see these cells."
        )
        raise ValueError(msg)
    if n_control:
        msg = (
            f"`predictions` contain {n_control} cells of the control {control!r} that are identical to "
            "control cells of `adata`. Predictions and truth must not be compared with the same "
            "control cells: their shared noise counts as success and can be gamed. Leave the control "
            "out, scgim uses disjoint control cells for both: "
            f"`predictions[predictions.obs[perturbation] != {control!r}]`."
        )
        raise ValueError(msg)


def warn_own_controls(n_cells: int, control: str) -> None:
    """Warn that a predictor's own control cells are not used.

    Parameters
    ----------
    n_cells
        Predicted control cells.
    control
        Label of the control.
    """
    if n_cells:
        warn(
            f"`predictions` bring {n_cells} control cells ({control!r}) of their own. They are not "
            "used: all shifts are taken from control cells of `adata`."
        )


def check_disjoint_controls(context: str, n_cells: int) -> None:
    """Raise where there are too few control cells for predictions and truth to have their own.

    Parameters
    ----------
    context
        Context of the control cells, empty without contexts.
    n_cells
        Control cells in it.
    """
    if n_cells < MIN_CONTROL_CELLS:
        place = f" in the context {context!r}" if context else ""
        msg = (
            f"`adata` has {n_cells} control cells{place}, but at least {MIN_CONTROL_CELLS} are needed: "
            "half of them for the predictors and the other half for the truth. With identical controls "
            "on both sides their shared noise counts as success. Add control cells."
        )
        raise ValueError(msg)


def check_training_remains(n_perturbations: int, *, n_held_out: int) -> None:
    """Raise if a split leaves nothing to learn from.

    Parameters
    ----------
    n_perturbations
        Perturbations in the training cells.
    n_held_out
        Held-out conditions.
    """
    if n_perturbations == 0:
        msg = (
            f"The split holds out all {n_held_out} treated conditions, so no perturbation is left to "
            "train on and every prediction would be a guess. Hold out fewer."
        )
        raise ValueError(msg)


def check_held_out_cells(empty: Sequence[str]) -> None:
    """Raise if held-out conditions have no cells.

    Parameters
    ----------
    empty
        Held-out conditions without cells, in words.
    """
    if empty:
        msg = (
            f"{len(empty)} held-out conditions have no cells in `adata`: {quote_some(empty)}. Use the "
            "screen that the split was made for, or make a new split."
        )
        raise ValueError(msg)


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


def check_new_names(repeated: Collection[str]) -> None:
    """Raise if a predictor has the name of another.

    Parameters
    ----------
    repeated
        Names that occur more than once.
    """
    if repeated:
        msg = (
            f"The names {quote_some(sorted(repeated))} are used more than once among predictors, "
            "baselines and ceilings. Give each predictor a name of its own."
        )
        raise ValueError(msg)


def check_evaluated(predictor: str, names: Sequence[str]) -> None:
    """Raise if scores do not contain a predictor.

    Parameters
    ----------
    predictor
        Name that was asked for.
    names
        Names of the evaluated predictors in the scores.
    """
    if predictor not in names:
        msg = (
            f"`predictor={predictor!r}` is not among the evaluated predictors of `scores`, which are "
            f"{list(names)}. Pass one of them."
        )
        raise ValueError(msg)
