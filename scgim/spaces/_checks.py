"""Checks on what the causal space of named genes can handle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim._messages import quote_some
from scgim.module import get_likelihood
from scgim.spaces._mechanism_choice import name_mechanism

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from scgim._types import BoolArray, FloatArray, IntArray
    from scgim.scm import Mechanism


SINGULAR = 1e-8


def check_node_number(n_nodes: int, n_cells: int, max_nodes: int) -> None:
    """Raise if there are more named nodes than the method or the cells can carry.

    Parameters
    ----------
    n_nodes
        Genes that would be nodes.
    n_cells
        Cells.
    max_nodes
        Most nodes that a search can honestly handle.
    """
    if n_nodes > max_nodes:
        msg = (
            f"`causal_space='genes'` would make {n_nodes:,} nodes, but structure search is honest for "
            f"at most {max_nodes:,}. Choose that many genes, for example `adata[:, genes]`, or use "
            "`causal_space='programs'`."
        )
        raise ValueError(msg)
    if n_cells <= n_nodes:
        msg = (
            f"There are {n_cells:,} cells for {n_nodes:,} nodes, but regressing a node on others "
            "needs more cells than nodes. Choose fewer genes, or add cells."
        )
        raise ValueError(msg)


def check_profiles(targets: IntArray, structure: str, groups: Sequence[tuple[str, ...]]) -> None:
    """Raise if a graph is to be searched on one row per condition without known targets.

    Parameters
    ----------
    targets
        Known targets as in :class:`~scgim.scm.PriorKnowledge`.
    structure
        How the graph is found.
    groups
        Perturbations in each group of rows.
    """
    is_open: BoolArray = np.any(targets < 0, axis=1)
    if structure == "given" or not is_open.any():
        return
    names = ["+".join(parts) for parts, is_one in zip(groups, is_open, strict=True) if is_one]
    msg = (
        "Every condition of the screen has one row, so nothing tells the noise of a gene from what a "
        f"perturbation does to it, and a graph can be searched only where all targets are known: those "
        f"of {quote_some(names)} are not. Pass `search=GraphSearch(known_targets=..., "
        "has_off_targets=False)` to `GIM.train`, or add replicates. To rank targets without a graph, "
        "use `GIM(..., structure='given')` with `GraphSearch(required=[])`."
    )
    raise ValueError(msg)


def check_nodes_vary(values: FloatArray, names: Sequence[str]) -> None:
    """Raise if a node is constant, or a combination of others.

    Parameters
    ----------
    values
        Values within conditions, centred there, shape ``(n_cells, n_nodes)``.
    names
        Names of the nodes.
    """
    sd = values.std(axis=0)
    constant = [name for name, spread in zip(names, sd, strict=True) if not spread > 0]
    if constant:
        msg = (
            f"{quote_some(constant)} do not vary within conditions, but a node needs variation to "
            "have a mechanism. Remove these genes."
        )
        raise ValueError(msg)
    eigenvalues, vectors = np.linalg.eigh(np.corrcoef(values, rowvar=False).reshape(len(names), -1))
    if eigenvalues[0] > SINGULAR:
        return
    weight = np.abs(vectors[:, 0])
    # In the order of the genes: their weights tie, and rounding would else decide who comes first.
    involved = [names[node] for node in np.flatnonzero(weight > 0.1 * weight.max()).tolist()]
    msg = (
        f"{quote_some(involved)} are perfectly collinear, so no data can tell their edges apart. "
        "Keep all but one of them."
    )
    raise ValueError(msg)


def check_gene_nodes(
    n_nodes: int | None, n_genes: int, gene_likelihood: str, *, has_program_mask: bool = False
) -> None:
    """Raise where the nodes or the likelihood are not those that named genes have.

    Parameters
    ----------
    n_nodes
        Number of nodes as the user set it.
    n_genes
        Genes of the data.
    gene_likelihood
        Likelihood as the user set it.
    has_program_mask
        Whether the screen was registered with a program mask.
    """
    if has_program_mask:
        msg = (
            "`program_mask_key` names gene programs, but with `causal_space='genes'` the genes are "
            "the nodes. Leave it out of `GIM.setup_anndata`, or use `causal_space='programs'`."
        )
        raise ValueError(msg)
    if n_nodes is not None and n_nodes != n_genes:
        msg = (
            f"`n_nodes={n_nodes}`, but with `causal_space='genes'` the {n_genes} genes of the data "
            "are the nodes. Leave `n_nodes` out, and choose genes with `adata[:, genes]`."
        )
        raise ValueError(msg)
    if get_likelihood(gene_likelihood).is_zero_inflated:
        msg = (
            f"`gene_likelihood={gene_likelihood!r}` is not available with `causal_space='genes'`, whose nodes are "
            "freed of counting noise. Choose 'nb' or 'poisson' for counts, or 'normal'."
        )
        raise ValueError(msg)


def check_no_minibatches(arguments: Collection[str]) -> None:
    """Raise if arguments of minibatch training are given for named genes.

    Parameters
    ----------
    arguments
        Names of the arguments that the user changed.
    """
    if arguments:
        msg = (
            f"`GIM.train` got {quote_some(sorted(arguments))}, but with `causal_space='genes'` the "
            "model is fitted in closed form and has no epochs. Leave them out; "
            "`search=scgim.model.GraphSearch(...)` says how to search the graph."
        )
        raise ValueError(msg)


def check_count_options(mechanism: type[Mechanism], structure: str, gene_likelihood: str) -> None:
    """Raise where a way to fit named genes needs expression without counting noise.

    Parameters
    ----------
    mechanism
        Class of the mechanisms.
    structure
        How the graph is found.
    gene_likelihood
        Likelihood of the model.
    """
    if not get_likelihood(gene_likelihood).is_count:
        return
    chosen = (
        ("mechanism", name_mechanism(mechanism), not mechanism.is_linear),
        ("structure", structure, structure == "gradient"),
    )
    for name, value, reads_cells in chosen:
        if reads_cells:
            msg = (
                f"`{name}={value!r}` reads every cell, but in counts most of the variance of a gene "
                "is counting noise, and only the covariance can be freed of it. Leave it out, or "
                "pass transformed expression with `gene_likelihood='normal'`."
            )
            raise ValueError(msg)
