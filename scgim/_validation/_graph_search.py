"""Checks of what a search for the causal graph is given, and warnings about what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim._validation._messages import closest, quote_some, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray


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
