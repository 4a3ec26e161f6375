"""The cell of World G: genes that are themselves the nodes of a causal graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from scgim.datasets._simulated_cell import signed_uniform

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Sampler = Callable[[NDArray[np.float64]], NDArray[np.float64]]

N_HIDDEN = 16
N_SCALING_CELLS = 5000
NOISE_LEFT_BY_CLAMP = 0.5


def draw_graph(rng: np.random.Generator, kind: str, n_nodes: int) -> NDArray[np.bool_]:
    """Draw a random acyclic graph.

    Parameters
    ----------
    rng
        Source of randomness.
    kind
        ``"er1"`` or ``"er2"``: Erdős-Rényi with 1 or 2 expected edges per node, directed along a
        random order. ``"sf2"``: Barabási-Albert with 2 edges per new node, old to new, permuted.
    n_nodes
        Number of nodes.

    Returns
    -------
    Whether parent → child, shape ``(n_nodes, n_nodes)``.
    """
    order = rng.permutation(n_nodes)
    ordered = np.zeros((n_nodes, n_nodes), dtype=bool)
    if kind == "sf2":
        edges = nx.barabasi_albert_graph(n_nodes, 2, seed=int(rng.integers(2**31))).edges
        for one, other in edges:
            ordered[min(one, other), max(one, other)] = True
    else:
        share = min(1.0, 2 * int(kind[-1]) / (n_nodes - 1))
        ordered = np.triu(rng.random((n_nodes, n_nodes)) < share, k=1)
    adjacency = np.zeros_like(ordered)
    adjacency[np.ix_(order, order)] = ordered
    return adjacency


@dataclass(frozen=True)
class _Mechanism:
    """How one gene follows its parents; unit variance in unperturbed cells.

    Attributes
    ----------
    parents
        Nodes, shape ``(n_parents,)``.
    inner
        Weights of parents in hidden units, ``(n_parents, n_hidden)``; for a linear mechanism one
        column, which is the mechanism itself.
    bias
        Biases of hidden units, ``(n_hidden,)``; empty for a linear mechanism.
    outer
        Weights of hidden units, same shape as ``bias``.
    scale
        Factor on the output of the parents.
    offset
        Subtracted from it, so that its mean is 0 in unperturbed cells.
    noise_sd
        Standard deviation of the exogenous noise.
    """

    parents: NDArray[np.int64]
    inner: NDArray[np.float64]
    bias: NDArray[np.float64]
    outer: NDArray[np.float64]
    scale: float = 1.0
    offset: float = 0.0
    noise_sd: float = 1.0

    def raw(self, nodes: NDArray[np.float64]) -> NDArray[np.float64]:
        projected = nodes[:, self.parents] @ self.inner
        if not len(self.outer):
            return projected[:, 0]
        return np.tanh(projected + self.bias) @ self.outer

    def mean(self, nodes: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.scale * self.raw(nodes) - self.offset


@dataclass(frozen=True)
class CausalCell:
    """Genes in a causal graph, each with unit variance in unperturbed cells.

    Attributes
    ----------
    is_edge
        Whether parent → child, shape ``(n_nodes, n_nodes)``.
    mechanisms
        One per node.
    """

    is_edge: NDArray[np.bool_]
    mechanisms: tuple[_Mechanism, ...]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, graph: str, mechanism: str, n_nodes: int
    ) -> CausalCell:
        """Draw graph and mechanisms, standardising each node while it is generated.

        Parameters
        ----------
        rng
            Source of randomness.
        graph
            Kind of graph, see :func:`draw_graph`.
        mechanism
            ``"linear"``: weights ±U(.5, 2) and noise 1, divided by the node's own standard
            deviation. ``"mlp"``: 16 hidden tanh units, a share U(.3, .6) of the variance is noise.
        n_nodes
            Number of nodes.

        Returns
        -------
        The cell.
        """
        is_edge = draw_graph(rng, graph, n_nodes)
        draw = _draw_linear if mechanism == "linear" else _draw_mlp
        nodes = np.zeros((N_SCALING_CELLS, n_nodes))
        mechanisms: dict[int, _Mechanism] = {}
        for node in topological_order(is_edge):
            mechanisms[node] = draw(rng, np.flatnonzero(is_edge[:, node]), nodes)
            noise = mechanisms[node].noise_sd * rng.standard_normal(N_SCALING_CELLS)
            nodes[:, node] = mechanisms[node].mean(nodes) + noise
        return cls(is_edge, tuple(mechanisms[node] for node in range(n_nodes)))

    @property
    def weights(self) -> NDArray[np.float64]:
        """Edge weights of linear mechanisms; 1 for the edges of an MLP, whose weight varies."""
        weights = self.is_edge.astype(float)
        for child, mechanism in enumerate(self.mechanisms):
            if not len(mechanism.outer):
                weights[mechanism.parents, child] = mechanism.scale * mechanism.inner[:, 0]
        return weights

    def sample(
        self,
        rng: np.random.Generator,
        shift: NDArray[np.float64],
        is_cut: NDArray[np.bool_],
        noise_scale: NDArray[np.float64] | float = 1.0,
    ) -> NDArray[np.float64]:
        """Sample cells under interventions.

        Parameters
        ----------
        rng
            Source of randomness.
        shift
            Displacement of each mechanism, shape ``(n_cells, n_nodes)``.
        is_cut
            Whether the mechanism is replaced: no parents, half the noise; same shape.
        noise_scale
            Factor on the noise of each mechanism, same shape.

        Returns
        -------
        Node values, same shape.
        """
        nodes = np.zeros_like(shift)
        noise = rng.standard_normal(shift.shape)
        left = np.where(is_cut, NOISE_LEFT_BY_CLAMP, 1.0) * noise_scale
        for node in topological_order(self.is_edge):
            mechanism = self.mechanisms[node]
            mean = np.where(is_cut[:, node], 0.0, mechanism.mean(nodes))
            scaled = mechanism.noise_sd * left[:, node] * noise[:, node]
            nodes[:, node] = mean + shift[:, node] + scaled
        return nodes


def topological_order(is_edge: NDArray[np.bool_]) -> list[int]:
    """Order nodes so that parents come before children.

    Parameters
    ----------
    is_edge
        Whether parent → child, shape ``(n_nodes, n_nodes)``.

    Returns
    -------
    The nodes in a causal order.
    """
    return list(nx.topological_sort(nx.from_numpy_array(is_edge, create_using=nx.DiGraph)))


def _draw_linear(
    rng: np.random.Generator, parents: NDArray[np.int64], nodes: NDArray[np.float64]
) -> _Mechanism:
    none = np.empty(0)
    weights = signed_uniform(rng, 0.5, 2.0, (len(parents), 1))
    raw = nodes[:, parents] @ weights[:, 0]
    sd = float(np.sqrt(raw.var() + 1.0))
    return _Mechanism(parents, weights, none, none, 1 / sd, float(raw.mean()) / sd, 1 / sd)


def _draw_mlp(
    rng: np.random.Generator, parents: NDArray[np.int64], nodes: NDArray[np.float64]
) -> _Mechanism:
    inner = rng.standard_normal((len(parents), N_HIDDEN))
    bias = 0.7 * rng.standard_normal(N_HIDDEN)
    outer = rng.standard_normal(N_HIDDEN)
    noise_share = rng.uniform(0.3, 0.6)
    if not len(parents):
        return _Mechanism(parents, inner, bias, outer, 0.0)
    raw = _Mechanism(parents, inner, bias, outer).raw(nodes)
    scale = float(np.sqrt((1 - noise_share) / raw.var()))
    offset = scale * float(raw.mean())
    return _Mechanism(parents, inner, bias, outer, scale, offset, float(np.sqrt(noise_share)))
