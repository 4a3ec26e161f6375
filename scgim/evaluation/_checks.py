"""Checks that several parts of an evaluation share; the others stand beside their only caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgim._messages import closest, quote_some, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


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


def check_has_features(perturbations: Sequence[str], known: Collection[str]) -> None:
    """Raise if perturbations have no row of features.

    Parameters
    ----------
    perturbations
        Perturbations to predict, combinations already split.
    known
        Perturbations with features.
    """
    missing = [name for name in perturbations if name not in known]
    if missing:
        msg = (
            f"{quote_some(missing)} have no row of features, so no baseline can predict them. The "
            f"names closest to {missing[0]!r} are {closest(missing[0], known)}. Add the rows."
        )
        raise ValueError(msg)


def check_is_fitted(name: str, *, is_fitted: bool) -> None:
    """Raise if a predictor is asked before it was fitted.

    Parameters
    ----------
    name
        Name of the predictor.
    is_fitted
        Whether ``fit`` was called.
    """
    if not is_fitted:
        msg = f"The predictor {name!r} has not been fitted. Call its `fit` first."
        raise RuntimeError(msg)


def check_screen_labels(column: str, labels: Collection[str], control: str) -> None:
    """Raise unless a screen has control cells and treated cells.

    Parameters
    ----------
    column
        Column of ``obs`` that names the perturbation.
    labels
        Labels found there.
    control
        Label of the control.
    """
    if control not in labels:
        msg = (
            f"`control={control!r}` is not a label of `adata.obs[{column!r}]`. The closest labels are "
            f"{closest(control, labels)}. Pass the label of the control cells."
        )
        raise ValueError(msg)
    if len(set(labels)) == 1:
        msg = (
            f"`adata.obs[{column!r}]` has control cells only ({control!r}), but a benchmark needs "
            "treated cells. Add them."
        )
        raise ValueError(msg)


def check_split_argument(kind: str, name: str, *, is_given: bool) -> None:
    """Raise if a kind of split lacks the argument that it needs.

    Parameters
    ----------
    kind
        Kind of split.
    name
        Argument that it needs.
    is_given
        Whether it was passed.
    """
    if not is_given:
        msg = f"`kind={kind!r}` needs `{name}`, which was not given. Pass `{name}=...`."
        raise ValueError(msg)


def check_has_column(argument: str, value: str, columns: Collection[str]) -> None:
    """Raise if a name is not a column of ``obs``.

    Parameters
    ----------
    argument
        Name of the argument.
    value
        Column that was passed.
    columns
        Columns of ``obs``.
    """
    if value not in columns:
        msg = (
            f"`{argument}={value!r}` is not a column of `adata.obs`. The columns closest to it are "
            f"{closest(value, columns)}. Pass one of them."
        )
        raise ValueError(msg)
