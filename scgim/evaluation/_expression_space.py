"""In which space expression is, and how to bring it to the one in which predictions are scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import anndata as ad
    import scipy.sparse as sp
    from numpy.typing import NDArray

Space = Literal["counts", "normalized", "log1p", "scaled"]

TARGET_TOTAL = 1e4
MAX_CELLS_LOOKED_AT = 5000
MAX_LOG1P = 20.0
"""Larger values are not logarithms: log1p of counts per million stays below 14."""
MAX_NEGATIVE_SHARE = 0.2
"""Predictions of log expression may dip below 0; centred genes are below 0 about half of the time."""


SPACES = {
    "counts": "counts (whole numbers)",
    "normalized": "normalised counts without a logarithm",
    "log1p": "log1p of normalised counts",
    "scaled": "scaled expression (centred genes, a fifth or more of the values below 0)",
}
SAME_TOTAL = (500.0, 30_000.0)
"""Totals that log1p(CP10k) can have: means of logarithms lie below, rounding hardly above 10,000."""


def log_normalize(counts: NDArray[np.float32] | sp.spmatrix | sp.sparray) -> NDArray[np.float32]:
    """Turn counts into log1p(CP10k).

    Parameters
    ----------
    counts
        Sparse or dense counts, shape ``(n_cells, n_genes)``.

    Returns
    -------
    Dense expression, same shape.
    """
    dense = _dense(counts)
    total = dense.sum(axis=1, keepdims=True)
    library = np.where(total > 0, total, 1.0)
    return np.log1p(dense * (TARGET_TOTAL / library)).astype(np.float32)


def detect_space(expression: NDArray[np.float32] | sp.spmatrix | sp.sparray) -> Space:
    """Tell from the values what they are.

    Parameters
    ----------
    expression
        Sparse or dense expression, cells x genes; at most 5,000 cells are looked at.

    Returns
    -------
    ``"counts"``: whole numbers. ``"normalized"``: positive, too large for logarithms. ``"scaled"``: a
    fifth or more below 0. ``"log1p"``: anything else.
    """
    n_cells = expression.shape[0]
    step = max(1, n_cells // MAX_CELLS_LOOKED_AT)
    values = _dense(expression[::step])
    if (values < 0).mean() > MAX_NEGATIVE_SHARE:
        return "scaled"
    if not (values % 1).any() and not (values < 0).any():
        return "counts"
    return "normalized" if values.max(initial=0.0) > MAX_LOG1P else "log1p"


def read_expression(adata: ad.AnnData, layer: str | None, space: Space) -> NDArray[np.float32]:
    """Read expression in the space in which predictions are scored.

    Parameters
    ----------
    adata
        Cells x genes.
    layer
        Layer to read, ``X`` if ``None``.
    space
        What it holds.

    Returns
    -------
    log1p(CP10k) of counts and of normalised counts, everything else as it is; dense, and an array of
    its own where ``adata`` is a view.
    """
    expression = adata.X if layer is None else adata.layers[layer]
    if space in {"counts", "normalized"}:
        return log_normalize(expression)
    return _dense(expression).astype(np.float32)


def read_predictions(
    adata: ad.AnnData, screen_space: Space, space: Space | None = None
) -> NDArray[np.float32]:
    """Read predicted expression in the space in which the screen is scored.

    Parameters
    ----------
    adata
        Predicted cells, with the genes of the screen in its order.
    screen_space
        What the screen holds.
    space
        What the predictions hold; by default what ``uns["scgim"]["space"]`` says, or else detected.

    Returns
    -------
    Expression that can be compared with :func:`read_expression` of the screen.
    """
    check_finite_expression(_values(adata.X))
    found = space or _stated_space(adata) or detect_space(adata.X)
    check_comparable_space(found, screen_space, n_genes=adata.n_vars)
    expression = read_expression(adata, None, found)
    if found == "log1p" and screen_space in {"counts", "normalized"}:
        total = float(np.median(np.expm1(expression[:: step_of(adata)]).sum(axis=1)))
        check_comparable_space(found, screen_space, n_genes=adata.n_vars, total=total)
    return expression


def step_of(adata: ad.AnnData) -> int:
    """Stride over the cells at which enough of them are looked at.

    Parameters
    ----------
    adata
        Cells x genes.

    Returns
    -------
    The stride.
    """
    return max(1, adata.n_obs // MAX_CELLS_LOOKED_AT)


def _stated_space(adata: ad.AnnData) -> Space | None:
    stated = adata.uns.get("scgim", {}).get("space")
    known: dict[object, Space] = {"counts": "counts", "normalized": "normalized"}
    return known.get(stated)


def _dense(expression: NDArray[np.float32] | sp.spmatrix | sp.sparray) -> NDArray[np.float32]:
    # np.asarray also makes a plain array of anndata's ArrayView, which scvi-tools cannot load.
    return np.asarray(expression if isinstance(expression, np.ndarray) else expression.toarray())


def _values(expression: NDArray[np.float32] | sp.spmatrix) -> NDArray[np.float32]:
    return expression if isinstance(expression, np.ndarray) else np.asarray(expression.data)


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
