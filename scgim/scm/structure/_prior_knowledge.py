from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray

# Log-odds of an edge that is called likely: odds of 20 to 1. Chosen, not tuned.
LIKELY_EDGE = 3.0


@dataclass(frozen=True)
class PriorKnowledge:
    """What is known of edges and targets before the data are seen.

    Attributes
    ----------
    forbidden
        Edges that cannot be, ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    required
        Edges that must be, same shape.
    edge_log_odds
        Log-odds in nats in favour of each edge, same shape; 0 where nothing is known.
    targets
        Known targets, shape ``(n_perturbations, n_nodes)``: 1 a target, 0 not a target, -1 unknown.
    """

    forbidden: BoolArray
    required: BoolArray
    edge_log_odds: FloatArray
    targets: IntArray

    @classmethod
    def none(cls, n_nodes: int, n_perturbations: int) -> PriorKnowledge:
        """Know nothing.

        Parameters
        ----------
        n_nodes
            Number of nodes.
        n_perturbations
            Number of perturbations.

        Returns
        -------
        A prior that changes no score.
        """
        no_edge = np.zeros((n_nodes, n_nodes), dtype=bool)
        unknown = np.full((n_perturbations, n_nodes), -1)
        return cls(no_edge, no_edge.copy(), np.zeros((n_nodes, n_nodes)), unknown)

    def with_likely_edges(
        self,
        parents: IntArray,
        children: IntArray,
        weights: FloatArray | None = None,
        *,
        strength: float = LIKELY_EDGE,
        allow_others: bool = True,
    ) -> PriorKnowledge:
        """Add a table of likely edges, for example a regulon.

        Parameters
        ----------
        parents
            Parent of each listed edge, shape ``(n_edges,)``.
        children
            Its child, same shape.
        weights
            Confidence in each edge, same shape: its absolute value counts, relative to the largest
            one; a sign (activation or repression) does not. All alike by default.
        strength
            Log-odds in nats of the edge of largest weight; 3 are odds of 20 to 1.
        allow_others
            Whether edges that are not listed may be found.

        Returns
        -------
        The prior with the edges added; an edge that is listed twice counts by its larger weight.

        Examples
        --------
        >>> prior = PriorKnowledge.none(3, 0)
        >>> prior = prior.with_likely_edges(
        ...     np.array([0, 0]), np.array([1, 2]), np.array([1.0, -0.5])
        ... )
        >>> prior.edge_log_odds[0].tolist()
        [0.0, 3.0, 1.5]
        """
        size = np.ones(len(parents)) if weights is None else np.abs(weights)
        listed = np.zeros(self.forbidden.shape)
        np.maximum.at(listed, (parents, children), size / max(size.max(initial=0.0), 1e-12))
        odds = self.edge_log_odds + strength * listed
        is_listed = np.zeros(self.forbidden.shape, dtype=bool)
        is_listed[parents, children] = True
        forbidden = self.forbidden if allow_others else self.forbidden | ~is_listed
        return PriorKnowledge(forbidden & ~self.required, self.required, odds, self.targets)
