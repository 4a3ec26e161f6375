"""Checks on what the causal space of named genes can handle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim._validation._messages import closest, quote_some, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

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
