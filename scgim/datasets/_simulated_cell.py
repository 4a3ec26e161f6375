"""The cell of the simulated worlds: a causal model of gene programs that emits counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE_PROBABILITY = 0.35
NOISE_SD = 0.7
SECOND_PROGRAM_SHARE = 0.25
NO_PROGRAM_SHARE = 0.2
MEDIAN_LIBRARY = 1000.0
LIBRARY_LOG_SD = 0.3


def signed_uniform(
    rng: np.random.Generator, low: float, high: float, size: int | tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw from ±U(low, high).

    Parameters
    ----------
    rng
        Source of randomness.
    low
        Smallest absolute value.
    high
        Largest absolute value.
    size
        Shape of the result.

    Returns
    -------
    Numbers with random signs, of the asked shape.
    """
    return rng.choice([-1.0, 1.0], size) * rng.uniform(low, high, size)


@dataclass(frozen=True)
class SimulatedCell:
    """Ten gene programs in a causal graph, their genes and the counts that a sequencer sees.

    Attributes
    ----------
    adjacency
        Edge weights, shape ``(n_nodes, n_nodes)``; ``adjacency[parent, child]`` is not 0 for an edge.
    order
        Causal order of the nodes, parents first, shape ``(n_nodes,)``.
    loadings
        Change of a gene's log-rate per unit of a node, shape ``(n_genes, n_nodes)``.
    log_rate
        Log-rate of each gene when all nodes are 0, before the softmax, shape ``(n_genes,)``.
    inverse_dispersion
        Negative-binomial θ of each gene, shape ``(n_genes,)``.
    saturating
        Whether parents enter a mechanism as ``1.3 tanh(1.2 z)`` instead of ``z``.
    """

    adjacency: NDArray[np.float64]
    order: NDArray[np.int64]
    loadings: NDArray[np.float64]
    log_rate: NDArray[np.float64]
    inverse_dispersion: NDArray[np.float64]
    saturating: bool = False

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        *,
        n_nodes: int,
        n_genes: int,
        saturating: bool = False,
    ) -> SimulatedCell:
        """Draw graph, loadings, rates and dispersions, in that sequence.

        Parameters
        ----------
        rng
            Source of randomness.
        n_nodes
            Number of gene programs.
        n_genes
            Number of genes.
        saturating
            Whether parents enter a mechanism through a hyperbolic tangent.

        Returns
        -------
        A cell that can be sampled.
        """
        order = rng.permutation(n_nodes)
        adjacency = _draw_adjacency(rng, order)
        loadings = _draw_loadings(rng, n_genes, n_nodes)
        log_rate = rng.normal(0.0, 1.0, n_genes)
        inverse_dispersion = np.exp(rng.normal(1.2, 0.5, n_genes))
        return cls(adjacency, order, loadings, log_rate, inverse_dispersion, saturating)

    def sample_nodes(
        self,
        rng: np.random.Generator,
        shift: NDArray[np.float64],
        cut: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        r"""Sample node values of cells under shifts and partly cut mechanisms.

        Computes :math:`z_j = (1 - c_j) \sum_i A_{ij} f(z_i) + s_j + 0.7\,\varepsilon_j` in causal
        order, with :math:`f` the identity or :math:`1.3 \tanh(1.2 z)`.

        Parameters
        ----------
        rng
            Source of randomness.
        shift
            Displacement of each mechanism, shape ``(n_cells, n_nodes)``.
        cut
            Share of the parents' contribution that is removed, same shape, between 0 and 1.

        Returns
        -------
        Node values, shape ``(n_cells, n_nodes)``.
        """
        nodes = shift + NOISE_SD * rng.standard_normal(shift.shape)
        emitted = np.zeros_like(nodes)
        for node in self.order:
            nodes[:, node] += (1.0 - cut[:, node]) * (emitted @ self.adjacency[:, node])
            emitted[:, node] = self._emit(nodes[:, node])
        return nodes

    def sample_counts(
        self, rng: np.random.Generator, nodes: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Sample negative-binomial counts of cells with given node values.

        Parameters
        ----------
        rng
            Source of randomness.
        nodes
            Node values, shape ``(n_cells, n_nodes)``.

        Returns
        -------
        Counts, shape ``(n_cells, n_genes)``.
        """
        log_rate = self.log_rate + nodes @ self.loadings.T
        rate = np.exp(log_rate - log_rate.max(axis=1, keepdims=True))
        library = MEDIAN_LIBRARY * np.exp(LIBRARY_LOG_SD * rng.standard_normal((len(nodes), 1)))
        mean = rate * (library / rate.sum(axis=1, keepdims=True))
        theta = self.inverse_dispersion
        return rng.poisson(rng.standard_gamma(theta, mean.shape) * (mean / theta))

    def _emit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1.3 * np.tanh(1.2 * values) if self.saturating else values


def _draw_adjacency(rng: np.random.Generator, order: NDArray[np.int64]) -> NDArray[np.float64]:
    n_nodes = len(order)
    weights = signed_uniform(rng, 0.5, 1.0, (n_nodes, n_nodes))
    is_edge = np.triu(rng.random((n_nodes, n_nodes)) < EDGE_PROBABILITY, k=1)
    adjacency = np.zeros((n_nodes, n_nodes))
    adjacency[np.ix_(order, order)] = weights * is_edge
    return adjacency


def _draw_loadings(rng: np.random.Generator, n_genes: int, n_nodes: int) -> NDArray[np.float64]:
    loadings = np.zeros((n_genes, n_nodes))
    genes = np.arange(n_genes)
    first = rng.integers(n_nodes, size=n_genes)
    loadings[genes, first] = signed_uniform(rng, 0.2, 0.7, n_genes)
    has_second = rng.random(n_genes) < SECOND_PROGRAM_SHARE
    if n_nodes > 1:
        second = (first + rng.integers(1, n_nodes, size=n_genes)) % n_nodes
        second_loading = signed_uniform(rng, 0.2, 0.7, n_genes)
        loadings[genes[has_second], second[has_second]] = second_loading[has_second]
    loadings[rng.random(n_genes) < NO_PROGRAM_SHARE] = 0.0
    return loadings
