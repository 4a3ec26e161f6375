"""Checks on what a benchmark compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgim._messages import closest, quote_some

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


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


def check_design_is_known(column: str, *, n_missing: int) -> None:
    """Raise if cells do not say what was done to them.

    Parameters
    ----------
    column
        Column of ``obs`` with perturbation, dose or context.
    n_missing
        Cells without a value there.
    """
    if n_missing:
        msg = (
            f"`adata.obs[{column!r}]` has no value for {n_missing} cells, so it is not known which "
            "condition they belong to. Fill in the values, or leave these cells out."
        )
        raise ValueError(msg)


def check_has_feature_table(key: str | None, tables: Collection[str]) -> None:
    """Raise if the features of perturbations are not where they are said to be.

    Parameters
    ----------
    key
        Entry of ``uns``; ``None`` without features.
    tables
        Entries of ``uns``.
    """
    if key is not None and key not in tables:
        msg = (
            f"`features={key!r}` is not an entry of `adata.uns`. The entries closest to it are "
            f"{closest(key, tables)}. Pass one of them, or `features=None` for a screen without features."
        )
        raise ValueError(msg)


def check_has_control_cells(argument: str | None, context: str, *, n_cells: int) -> None:
    """Raise if a context has no control cells to compare with.

    Parameters
    ----------
    argument
        Column of ``obs`` with contexts.
    context
        Name of the context.
    n_cells
        Control cells in it.
    """
    if n_cells == 0:
        msg = (
            f"No control cell of `adata` has {context!r} in `adata.obs[{argument!r}]`, so effects "
            "there have nothing to be compared with. Add control cells of this context, or leave it "
            "out."
        )
        raise ValueError(msg)
