"""Checks on what the causal space of named genes can handle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim._validation._messages import check_choice, closest, quote_some, warn

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


def check_prior_edges(
    forbidden: NDArray[np.bool_], required: NDArray[np.bool_], names: Sequence[str]
) -> None:
    """Raise if required edges are also forbidden, or close a cycle.

    Parameters
    ----------
    forbidden
        Edges that cannot be, ``[parent, child]``.
    required
        Edges that must be, same shape.
    names
        Names of the nodes.
    """
    both = np.argwhere(forbidden & required)
    if len(both):
        pairs = [f"{names[parent]} → {names[child]}" for parent, child in both]
        msg = (
            f"{quote_some(pairs)} are both required and forbidden. "
            "Take each of them out of one of the two lists."
        )
        raise ValueError(msg)
    reach = required.copy()
    for _ in range(len(names)):
        reach = required | (required.astype(int) @ reach.astype(int) > 0)
    cyclic = [names[node] for node in np.flatnonzero(reach.diagonal()).tolist()]
    if cyclic:
        msg = (
            f"The required edges close a cycle through {quote_some(cyclic)}, but a causal graph has "
            "none. Take an edge of the cycle out."
        )
        raise ValueError(msg)


def check_are_nodes(argument: str, found: Collection[str], names: Collection[str]) -> None:
    """Raise if known targets or edges name genes that are not nodes.

    Parameters
    ----------
    argument
        Argument as the user typed it.
    found
        Names in it.
    names
        Names of the nodes.
    """
    unknown = [name for name in found if name not in names]
    if unknown:
        msg = (
            f"`{argument}` names {quote_some(unknown)}, which are not among the {len(names)} nodes. "
            f"The nodes closest to {unknown[0]!r} are {closest(unknown[0], names)}. Add the genes to "
            "the data, or leave them out."
        )
        raise ValueError(msg)


def check_gradient_world(mechanism: str, intervention: str) -> None:
    """Raise if the published optimiser is asked for mechanisms that it was not written for here.

    Parameters
    ----------
    mechanism
        Kind of mechanisms of the world.
    intervention
        Kind of interventions of the world.
    """
    if mechanism == "linear" and intervention == "shift":
        return
    msg = (
        f"`structures` names 'gradient', but the world has `mechanism={mechanism!r}` and "
        f"`intervention={intervention!r}`. The gradient fit knows linear mechanisms and shifts "
        "only. Leave 'gradient' out, or choose `mechanism='linear'` and `intervention='shift'`."
    )
    raise ValueError(msg)


def warn_if_targets_agree(is_target: NDArray[np.bool_], names: Sequence[str]) -> None:
    """Warn if all perturbations have the same targets, which says little about the graph.

    Parameters
    ----------
    is_target
        Targets, shape ``(n_perturbations, n_nodes)``.
    names
        Names of the nodes.
    """
    if len(is_target) < 2 or not (is_target == is_target[0]).all() or not is_target.any():
        return
    shared = quote_some([names[node] for node in np.flatnonzero(is_target[0]).tolist()])
    warn(
        f"All {len(is_target)} perturbations have the same targets ({shared}), so only edges "
        "downstream of them are identified. Add perturbations with other targets, or give prior "
        "edges."
    )


def warn_if_stopped(n_climbs: int, n_restarts: int, *, was_stopped: bool) -> None:
    """Warn if a structure search was interrupted.

    Parameters
    ----------
    n_climbs
        Climbs that were finished.
    n_restarts
        Climbs that were asked for.
    was_stopped
        Whether the search was interrupted.
    """
    if was_stopped:
        warn(
            f"The structure search was stopped after {n_climbs} of {n_restarts + 1} climbs; the best "
            "graph until then is kept. Search again for more certainty."
        )


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


def check_no_search(search: object, causal_space: str) -> None:
    """Raise if a graph search is asked for where the graph is not searched.

    Parameters
    ----------
    search
        What the user passed.
    causal_space
        The causal space of the model.
    """
    if search is not None:
        msg = (
            "`search` says how to find a graph of named genes, but this model has "
            f"`causal_space={causal_space!r}`. Leave it out, or build the model with "
            "`causal_space='genes'`."
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


def check_edge_table(
    name: str,
    *,
    columns: Collection[object] = ("source", "target"),
    pairs: Sequence[tuple[object, ...]] = (),
) -> None:
    """Raise unless edges are pairs, or a table of source and target.

    Parameters
    ----------
    name
        Field of the search that holds them.
    columns
        Columns of the table, if it is one.
    pairs
        The pairs, if they are not a table.
    """
    missing = [column for column in ("source", "target") if column not in columns]
    if missing:
        msg = (
            f"`search.{name}` has no column {missing[0]!r}; its columns are "
            f"{[str(column) for column in columns]}. Edges are a DataFrame with the columns "
            "'source' and 'target', or pairs."
        )
        raise ValueError(msg)
    wrong = [pair for pair in pairs if len(pair) != 2]
    if wrong:
        msg = (
            f"`search.{name}` has {wrong[0]!r}, which is not a pair (source, target). Edges are a "
            "DataFrame with the columns 'source' and 'target', or pairs."
        )
        raise ValueError(msg)


def check_are_perturbations(
    argument: str, found: Sequence[str], perturbations: Collection[str]
) -> None:
    """Raise if known targets name perturbations that the screen does not have.

    Parameters
    ----------
    argument
        Argument as the user typed it.
    found
        Names in it.
    perturbations
        Perturbations of the screen.
    """
    unknown = [name for name in found if name not in perturbations]
    if unknown:
        msg = (
            f"`{argument}` names {quote_some(unknown)}, which the screen did not run. The "
            f"perturbations closest to {unknown[0]!r} are {closest(unknown[0], perturbations)}. "
            "Correct the names, or leave them out."
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


def warn_if_graph_explains_nothing(explained: float, *, uses_graph: bool) -> None:
    """Warn if targets of counts are ranked without the graph.

    Parameters
    ----------
    explained
        Share of the other genes' shift that genes explain on held-out cells.
    uses_graph
        Whether that is enough.
    """
    if uses_graph:
        return
    share = f"{explained:.2f} of it" if np.isfinite(explained) else "too little shift to say"
    warn(
        f"On held-out cells genes do not demonstrably explain the shifts of other genes ({share}), so "
        "`evidence` ranks targets by how much a gene moved, not by how much it moved by itself. Read "
        "the columns `marginal` and `residual` of `get_intervention_targets`."
    )
