"""Passes over expression that may lie on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Iterator

CELLS_PER_BLOCK = 20_000


def row_blocks(expression: np.ndarray | sp.spmatrix) -> Iterator[np.ndarray | sp.spmatrix]:
    """Give expression in blocks of cells: at once where it is in memory.

    Parameters
    ----------
    expression
        Cells x genes, dense, sparse or on disk.

    Yields
    ------
    Cells x genes in memory.
    """
    if sp.issparse(expression) or isinstance(expression, np.ndarray):
        yield expression
        return
    for start in range(0, expression.shape[0], CELLS_PER_BLOCK):
        yield expression[start : start + CELLS_PER_BLOCK]


def sum_expression(expression: np.ndarray | sp.spmatrix) -> tuple[np.ndarray, np.ndarray]:
    """Sum expression over genes and over cells, in double precision.

    Parameters
    ----------
    expression
        Cells x genes, dense, sparse or on disk.

    Returns
    -------
    Total of each cell and of each gene.
    """
    of_cells, of_genes = [], np.zeros(expression.shape[1])
    for block in row_blocks(expression):
        of_cells.append(np.asarray(block.sum(1, dtype=np.float64)).ravel())
        of_genes += np.asarray(block.sum(0, dtype=np.float64)).ravel()
    return np.concatenate(of_cells) if of_cells else np.zeros(0), of_genes
