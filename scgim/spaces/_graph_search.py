from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from scgim.scm import PriorKnowledge, SearchSettings
from scgim.spaces._graph_search_checks import (
    check_are_nodes,
    check_are_perturbations,
    check_edge_table,
    check_prior_edges,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scgim.scm import InterventionKindName

Edges: TypeAlias = "pd.DataFrame | Iterable[tuple[str, str]]"


@dataclass(frozen=True)
class GraphSearch:
    """How to search the graph of named genes, and what is known of it beforehand.

    Edges are a DataFrame with the columns ``source`` and ``target``, or pairs
    ``(source, target)``.

    Attributes
    ----------
    n_restarts
        Climbs after the first; one is rarely enough.
    n_candidates
        Parents that are screened per gene when there are more genes than that.
    max_parents
        Most parents of a gene.
    edge_penalty
        Cost of an edge, in units of the extended Bayesian information criterion.
    n_walk_steps
        Steps of the walk over graphs that explain the screen about as well, over which
        probabilities of edges and targets are averaged; 1 asks the best graph alone.
    edges
        Likely edges, for example a regulon table; a column ``weight`` says how likely (its
        largest absolute value adds 3 nats to the log-odds of an edge). Rows that name other genes
        are left out.
    allowed
        The only edges that can be.
    forbidden
        Edges that cannot be.
    required
        Edges that must be; the whole graph for ``structure="given"``.
    known_targets
        Perturbation to its known target gene, or genes.
    has_off_targets
        Whether perturbations with known targets may have others, too.
    """

    n_restarts: int = 40
    n_candidates: int = 24
    max_parents: int = 12
    edge_penalty: float = 1.0
    n_walk_steps: int = 500
    edges: Edges | None = None
    allowed: Edges | None = None
    forbidden: Edges | None = None
    required: Edges | None = None
    known_targets: Mapping[str, str | Sequence[str]] | None = None
    has_off_targets: bool = True

    def settings(self, intervention: InterventionKindName) -> SearchSettings:
        """Word the settings of :func:`~scgim.scm.search_structure`.

        Parameters
        ----------
        intervention
            Kind of interventions to look for.

        Returns
        -------
        The settings.
        """
        return SearchSettings(
            kind=intervention,
            n_restarts=self.n_restarts,
            n_candidates=self.n_candidates,
            max_parents=self.max_parents,
            edge_penalty=self.edge_penalty,
            n_walk_steps=self.n_walk_steps,
        )

    def prior(
        self, genes: Sequence[str], groups: Sequence[tuple[str, ...]], perturbations: Sequence[str]
    ) -> PriorKnowledge:
        """Bring what is known into arrays.

        Parameters
        ----------
        genes
            Names of the nodes.
        groups
            Perturbations in each group of cells.
        perturbations
            Perturbations of the screen.

        Returns
        -------
        The prior knowledge; forbidden and required edges do not contradict each other.
        """
        prior = PriorKnowledge.none(len(genes), len(groups))
        prior.forbidden[self._read("forbidden", genes)] = True
        prior.required[self._read("required", genes)] = True
        if self.allowed is not None:
            prior.forbidden[~self._read("allowed", genes)] = True
        check_prior_edges(prior.forbidden, prior.required, genes)
        known = self._targets(genes, perturbations)
        for row, parts in enumerate(groups):
            if not self.has_off_targets and set(parts) <= set(known):
                prior.targets[row] = 0
            for part in parts:
                prior.targets[row, known.get(part, [])] = 1
        return self._with_likely_edges(prior, genes)

    def _read(self, name: str, genes: Sequence[str]) -> np.ndarray:
        is_edge = np.zeros((len(genes), len(genes)), bool)
        edges = getattr(self, name)
        if edges is None:
            return is_edge
        table = _to_table(name, edges)
        check_are_nodes(f"search.{name}", _names(table), genes)
        index = pd.Index(genes)
        is_edge[index.get_indexer(table.source), index.get_indexer(table.target)] = True
        return is_edge

    def _with_likely_edges(self, prior: PriorKnowledge, genes: Sequence[str]) -> PriorKnowledge:
        """Add likely edges; rows about other genes are left out."""
        if self.edges is None:
            return prior
        table = _to_table("edges", self.edges)
        known = table[table.source.isin(list(genes)) & table.target.isin(list(genes))]
        known = known[known.source != known.target]
        if known.empty:
            check_are_nodes("search.edges", _names(table), genes)
        index = pd.Index(genes)
        return prior.with_likely_edges(
            index.get_indexer(known.source),
            index.get_indexer(known.target),
            known.weight.to_numpy(np.float64) if "weight" in known else None,
        )

    def _targets(self, genes: Sequence[str], perturbations: Sequence[str]) -> dict[str, list[int]]:
        known = {} if self.known_targets is None else dict(self.known_targets)
        check_are_perturbations("search.known_targets", list(known), perturbations)
        names = {name: [v] if isinstance(v, str) else list(v) for name, v in known.items()}
        found = [gene for targets in names.values() for gene in targets]
        check_are_nodes("search.known_targets", found, genes)
        index = pd.Index(genes)
        return {name: index.get_indexer(targets).tolist() for name, targets in names.items()}


def _to_table(name: str, edges: Edges) -> pd.DataFrame:
    if not isinstance(edges, pd.DataFrame):
        pairs = [tuple(pair) for pair in edges]
        check_edge_table(name, pairs=pairs)
        return pd.DataFrame(pairs, columns=["source", "target"]).astype(str)
    check_edge_table(name, columns=edges.columns)
    return edges.assign(source=edges.source.astype(str), target=edges.target.astype(str))


def _names(table: pd.DataFrame) -> list[str]:
    return pd.unique(pd.concat([table.source, table.target])).tolist()
