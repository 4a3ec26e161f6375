from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray
    from scgim.scm._intervention_kinds import InterventionKind


@dataclass(frozen=True)
class Structure:
    """A causal graph with mechanisms and targets, as structure search found them.

    Attributes
    ----------
    adjacency
        Whether parent → child, ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    coefficients
        Of the basis functions of the parents, shape ``(n_columns, n_nodes)``; for linear mechanisms
        the edge weights.
    offset
        Intercepts, shape ``(n_nodes,)``.
    noise_variance
        Variances of the exogenous noise, shape ``(n_nodes,)``.
    kinds
        Kinds of interventions that were looked for.
    kind_index
        Which of them is done to a target, -1 where there is no target, shape
        ``(n_perturbations, n_nodes)``.
    target_evidence
        Nats in favour of a target, its penalty paid, same shape.
    kind_evidence
        Nats in favour of the likeliest kind over the next one, same shape; 0 where only one kind was
        allowed.
    edge_evidence
        Nats in favour of each edge given the other edges, ``[parent, child]``; edges that would
        close a cycle rank last.
    edge_probability
        Probability of each edge, averaged over graphs that are about as good, same shape.
    target_probability
        Probability of each target, averaged in the same way, shape ``(n_perturbations, n_nodes)``.
    score
        Score of the graph in nats; lower is better.
    trace
        Score of every climb.
    was_stopped
        Whether the search was interrupted; the best graph until then is what is kept.
    """

    adjacency: BoolArray
    coefficients: FloatArray
    offset: FloatArray
    noise_variance: FloatArray
    kinds: tuple[InterventionKind, ...]
    kind_index: IntArray
    target_evidence: FloatArray
    kind_evidence: FloatArray
    edge_evidence: FloatArray
    edge_probability: FloatArray
    target_probability: FloatArray
    score: float
    trace: tuple[float, ...]
    was_stopped: bool

    @property
    def is_target(self) -> BoolArray:
        """Targets, shape ``(n_perturbations, n_nodes)``."""
        return self.kind_index >= 0

    @property
    def is_hard(self) -> BoolArray:
        """Targets that lose their parents, same shape."""
        return self._where("cuts_parents")

    @property
    def is_moved(self) -> BoolArray:
        """Targets whose mean is moved or set, same shape."""
        return self._where("moves_mean")

    @property
    def is_rescaled(self) -> BoolArray:
        """Targets whose noise changes, same shape."""
        return self._where("rescales_noise")

    def of_perturbations(self, n: int) -> Structure:
        """Keep the targets of the first perturbations only.

        Parameters
        ----------
        n
            How many to keep.

        Returns
        -------
        The structure with ``n`` rows of targets.
        """
        rows = slice(0, n)
        return replace(
            self,
            kind_index=self.kind_index[rows],
            target_probability=self.target_probability[rows],
            target_evidence=self.target_evidence[rows],
            kind_evidence=self.kind_evidence[rows],
        )

    def _where(self, attribute: str) -> BoolArray:
        # Index -1, where there is no target, picks the last entry.
        return np.array([getattr(kind, attribute) for kind in self.kinds] + [False])[
            self.kind_index
        ]
