"""Checks on what the causal space of named genes can handle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim._validation._messages import check_choice, quote_some

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

SINGULAR = 1e-8
OPTION_DEFAULTS: dict[str, object] = {
    "mechanism": "linear",
    "intervention": "shift",
    "structure": "search",
    "dose_response": "hill",
    "covariates_shift_nodes": False,
    "n_hidden": 128,
    "n_layers": 2,
    "dropout_rate": 0.0,
    "protein_likelihood": "nb",
}


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


def check_nodes_vary(values: NDArray[np.float64], names: Sequence[str]) -> None:
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
    involved = [
        names[node] for node in np.argsort(-weight).tolist() if weight[node] > 0.1 * weight.max()
    ]
    msg = (
        f"{quote_some(involved)} are perfectly collinear, so no data can tell their edges apart. "
        "Keep all but one of them."
    )
    raise ValueError(msg)


def check_space_options(
    causal_space: str, *, genes: Mapping[str, object], others: Mapping[str, object]
) -> None:
    """Raise where an option is set that the chosen causal space does not have.

    Parameters
    ----------
    causal_space
        The chosen causal space.
    genes
        Options of named genes as the user set them.
    others
        Options of programs and latent factors as the user set them.
    """
    check_choice("mechanism", genes["mechanism"], ("linear", "mlp"))
    check_choice("intervention", genes["intervention"], ("shift", "hard", "auto"))
    check_choice("structure", genes["structure"], ("search", "gradient", "given"))
    is_genes = causal_space == "genes"
    for name, value in (others if is_genes else genes).items():
        if value != OPTION_DEFAULTS[name]:
            spaces = "'programs' and 'latent'" if is_genes else "'genes'"
            msg = (
                f"`{name}={value!r}` is an option of the causal spaces {spaces} only, but "
                f"`causal_space={causal_space!r}`. Leave it out, or choose another causal space."
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
    if gene_likelihood == "zinb":
        msg = (
            "`gene_likelihood='zinb'` is not available with `causal_space='genes'`, whose nodes are "
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


def check_count_options(mechanism: str, structure: str, gene_likelihood: str) -> None:
    """Raise where a way to fit named genes needs expression without counting noise.

    Parameters
    ----------
    mechanism
        Kind of mechanisms.
    structure
        How the graph is found.
    gene_likelihood
        Likelihood of the model.
    """
    if gene_likelihood == "normal":
        return
    for name, value in (("mechanism", mechanism), ("structure", structure)):
        if value in {"mlp", "gradient"}:
            msg = (
                f"`{name}={value!r}` reads every cell, but in counts most of the variance of a gene "
                "is counting noise, and only the covariance can be freed of it. Leave it out, or "
                "pass transformed expression with `gene_likelihood='normal'`."
            )
            raise ValueError(msg)


def raise_cannot_map() -> None:
    """Raise where a model of named genes is to be mapped on new cells."""
    msg = (
        "A model with `causal_space='genes'` cannot be mapped on new cells: it is fitted in closed "
        "form, from all cells at once. Train a new model on the old and the new cells together, or "
        "predict with this one."
    )
    raise ValueError(msg)


def raise_cannot_minify() -> None:
    """Raise where the cells of a model of named genes are to be replaced by their posterior."""
    msg = (
        "The cells of a model with `causal_space='genes'` cannot be minified: its nodes are the genes "
        "themselves, so there is no smaller posterior to keep. `GIM.save` without AnnData is enough "
        "for predictions."
    )
    raise ValueError(msg)
