from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from scgim.scm._graph import find_generations
from scgim.scm._mechanism_fit import ProfileLikelihood

if TYPE_CHECKING:
    from scgim.scm._interventions import Intervention
    from scgim.scm._mechanism_fit import MechanismData

# Cells over which slopes are averaged: their mean is then known to 3 % of their spread.
N_SLOPE_CELLS = 1000


class Mechanism(nn.Module, ABC):
    r"""How every node follows its parents; subclass it to bring your own.

    Each node is an offset, what its parents make of it, and additive exogenous noise of its own, as in
    the causal models of :cite:t:`Schneider25`, section 3:

    .. math:: z_j = \beta_j + f_j(z_{\mathrm{pa}(j)}) + \sigma_j \varepsilon_j,
        \quad \varepsilon \sim N(0, I).

    A subclass declares its parameters and says what parents do, :meth:`parent_effect`; residuals,
    noise, simulation under interventions, and the fit follow from that. Pass the class to
    :class:`scgim.model.GIM` as ``mechanism=``.

    The laws that the rest of the package relies on:

    - node j reads only the nodes i with ``is_edge[i, j]``;
    - ``residual(solve(u)) == u``, and ``simulate(abduct(z), nothing) == z``;
    - arithmetic is in the type of the parameters, results are in the type of what comes in.

    Attributes
    ----------
    is_linear
        Whether effects are linear in the parents. The graph is then searched with straight lines
        instead of splines, and the mechanism can be used with counts, if :meth:`fit` reads nothing
        but the linear mechanisms in :class:`~scgim.scm.MechanismData`.
    offset
        :math:`\beta`, shape ``(n_nodes,)``.
    noise_sd
        :math:`\sigma`, standard deviation of the exogenous noise, same shape.
    is_edge
        Which node may follow which, ``[parent, child]``, shape ``(n_nodes, n_nodes)``. At first each
        node may follow all that come before it; :meth:`fit` puts in the graph that was found.

    Parameters
    ----------
    n_nodes
        Number of nodes; the constructor of a subclass has no other argument without a default.

    Examples
    --------
    Parents whose influence saturates:

    >>> class Saturating(scgim.scm.Mechanism):
    ...     def __init__(self, n_nodes):
    ...         super().__init__(n_nodes)
    ...         self.weight = torch.nn.Parameter(torch.zeros(n_nodes, n_nodes))
    ...
    ...     def parent_effect(self, nodes):
    ...         return torch.tanh(nodes) @ (self.weight * self.is_edge)
    >>> mechanism = Saturating(3)
    >>> noise = torch.tensor([[0.5, -1.0, 2.0]])
    >>> bool((mechanism.residual(mechanism.solve(noise)) == noise).all())
    True
    """

    is_linear: ClassVar[bool] = False

    noise_sd: Tensor
    is_edge: Tensor
    edge_weight: Tensor

    def __init__(self, n_nodes: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(n_nodes))
        self.register_buffer("noise_sd", torch.ones(n_nodes))
        self.register_buffer("is_edge", torch.ones(n_nodes, n_nodes, dtype=torch.bool).triu(1))
        self.register_buffer("edge_weight", torch.zeros(n_nodes, n_nodes))

    @abstractmethod
    def parent_effect(self, nodes: Tensor) -> Tensor:
        """Say what its parents make of each node.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.

        Returns
        -------
        :math:`f`, same shape.
        """

    @property
    def adjacency(self) -> Tensor:
        """Edge weights, ``[parent, child]``: mean slopes, as :meth:`fit` left them; 0 for no edge."""
        return self.edge_weight

    def mean(self, nodes: Tensor) -> Tensor:
        """Mean of every node given its parents.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``, in the type of the parameters.

        Returns
        -------
        Means, same shape.
        """
        return self.offset + self.parent_effect(nodes)

    def residual(self, nodes: Tensor) -> Tensor:
        """Take away what parents and offset explain.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.

        Returns
        -------
        Exogenous input of each node, in node units, same shape.
        """
        own = nodes.to(self.offset)
        return (own - self.mean(own)).to(nodes)

    def solve(self, exogenous: Tensor) -> Tensor:
        """Let exogenous input flow through the graph; the inverse of :meth:`residual`.

        Parameters
        ----------
        exogenous
            Noise plus shifts in node units, shape ``(..., n_nodes)``.

        Returns
        -------
        Node values, same shape.
        """
        return self._flow(exogenous, torch.ones_like(exogenous)).to(exogenous)

    def abduct(self, nodes: Tensor, node_offset: Tensor | float = 0.0) -> Tensor:
        """Recover the noise of unperturbed cells (abduction; :cite:t:`Pearl09`, theorem 7.1.7).

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.
        node_offset
            What covariates add to the mechanisms.

        Returns
        -------
        Exogenous noise in its standard deviations, same shape.
        """
        own = nodes.to(self.offset)
        return ((own - self.mean(own) - node_offset) / self.noise_sd).to(nodes)

    def simulate(
        self, noise: Tensor, intervention: Intervention, node_offset: Tensor | float = 0.0
    ) -> Tensor:
        r"""Push noise through the intervened graph.

        .. math:: z_j = (1 - c_j)(\beta_j + f_j(z) + o_j) + \delta_j + s_j \sigma_j \varepsilon_j

        with shift :math:`\delta`, noise scale :math:`s` and cut :math:`c` of the intervention, and
        the offset :math:`o` of covariates.

        Parameters
        ----------
        noise
            Exogenous noise in its standard deviations, shape ``(..., n_nodes)``.
        intervention
            What is done to each mechanism, in node units.
        node_offset
            What covariates add to the mechanisms.

        Returns
        -------
        Node values, in the shape to which noise and intervention broadcast.
        """
        keep = 1 - intervention.is_cut
        exogenous = intervention.shift + intervention.noise_scale * (noise * self.noise_sd)
        return self._flow(exogenous + keep * node_offset, keep).to(noise)

    def replay(
        self, nodes: Tensor, intervention: Intervention, node_offset: Tensor | float = 0.0
    ) -> Tensor:
        """Predict given cells as they would have been: abduction, action and prediction.

        Parameters
        ----------
        nodes
            Node values of unperturbed cells, shape ``(..., n_nodes)``.
        intervention
            What is done to them.
        node_offset
            What covariates add to the mechanisms.

        Returns
        -------
        Counterfactual node values, same shape; under the empty intervention the cells themselves.
        """
        return self.simulate(self.abduct(nodes, node_offset), intervention, node_offset)

    def fit(self, data: MechanismData) -> None:
        """Fit offset, parameters and noise to cells, in place, by gradient descent.

        Starts where the constructor starts, whatever was fitted before. Override it where a closed
        form is known, and set ``is_edge``, ``offset``, ``noise_sd`` and ``edge_weight`` too.

        Parameters
        ----------
        data
            Cells, graph and targets.

        Raises
        ------
        RuntimeError
            When the fit diverges.
        ValueError
            When a node reads one that is not its parent.
        """
        with torch.no_grad():
            self._restart(data.seed)
            self.is_edge.copy_(torch.as_tensor(data.graph))
        likelihood = ProfileLikelihood(data, self.offset)
        parameters = list(self.parameters())
        was_learning = [parameter.requires_grad for parameter in parameters]
        with torch.enable_grad():
            self.requires_grad_(requires_grad=True)
            generator = torch.Generator().manual_seed(data.seed)
            likelihood.maximise(parameters, self.residual, self._size, generator)
        for parameter, learns in zip(parameters, was_learning, strict=True):
            parameter.requires_grad_(learns)
        with torch.no_grad():
            self.offset.add_(likelihood.free_mean(self.residual(likelihood.values)))
            variance = likelihood.noise_variance(self.residual(likelihood.values))
            self.noise_sd.copy_(variance.sqrt())
        self._check_is_finite()
        step = max(len(likelihood.values) // N_SLOPE_CELLS, 1)
        self.describe(likelihood.values[::step])

    def divergence(self, mean: Tensor, variance: Tensor, exogenous_mean: Tensor) -> Tensor:
        r"""Kullback-Leibler divergence of a Gaussian posterior from the causal model, in nats.

        With posterior :math:`q = N(\mu, \mathrm{diag}\,v)`, unit noise and shift :math:`s` it is

        .. math::
            \tfrac12 \sum_j \big[\mathrm E_q(\mu - f(z) - \beta - s)_j^2 + v_j - \log v_j - 1\big],

        because a node is independent of its parents under q. The expectation is taken over one
        reparametrised draw (:cite:t:`kingma2014`, section 2.4). Programs are trained by it.

        Parameters
        ----------
        mean
            Posterior means, shape ``(n_cells, n_nodes)``.
        variance
            Posterior variances, same shape.
        exogenous_mean
            Shift of each cell's intervention plus covariate offsets, same shape or broadcastable.

        Returns
        -------
        Unbiased estimate per cell, shape ``(n_cells,)``.
        """
        nodes = mean + variance.sqrt() * torch.randn_like(mean)
        unexplained = mean - self.mean(nodes) - exogenous_mean
        return 0.5 * (unexplained.square() + variance - variance.log() - 1).sum(-1)

    def describe(self, nodes: Tensor) -> None:
        """Keep the mean slopes of all effects as edge weights, in place.

        Parameters
        ----------
        nodes
            Node values of cells over which to average, shape ``(n_cells, n_nodes)``.

        Raises
        ------
        ValueError
            When a node reads one that is not its parent.
        """
        with torch.enable_grad():
            inputs = nodes.detach().clone().requires_grad_()
            effect = self.parent_effect(inputs).sum(0)
            columns = [
                torch.autograd.grad(one, inputs, retain_graph=True, materialize_grads=True)[0]
                if one.requires_grad
                else torch.zeros_like(inputs)
                for one in effect
            ]
        slope = torch.stack([column.mean(0) for column in columns], -1)
        reads = torch.stack([column.abs().amax(0) for column in columns], -1) > 0
        wrong = torch.nonzero(reads & ~self.is_edge)
        if len(wrong):
            parent, child = wrong[0].tolist()
            message = (
                f"`{type(self).__name__}.parent_effect` lets node {child} follow node {parent}, which "
                "is not its parent in the graph. Multiply weights by `self.is_edge`, which is 0 where "
                "there is no edge from the row to the column."
            )
            raise ValueError(message)
        with torch.no_grad():
            self.edge_weight.copy_(slope)

    def mean_of(self, which: Tensor, nodes: Tensor) -> Tensor:
        """Mean of some nodes given their parents; override it where they are cheaper than all.

        Parameters
        ----------
        which
            Places of the nodes, shape ``(n_some,)``.
        nodes
            Values of all nodes, shape ``(..., n_nodes)``; those after ``which`` are not read.

        Returns
        -------
        Means, shape ``(..., n_some)``.
        """
        return self.mean(nodes)[..., which]

    def _flow(self, exogenous: Tensor, keep: Tensor) -> Tensor:
        """Values of all nodes, parents before children; cut nodes do not follow their parents."""
        exogenous = exogenous.to(self.offset)
        keep = keep.to(self.offset).expand(exogenous.shape)
        nodes = torch.zeros_like(exogenous)
        for generation in find_generations(self.is_edge):
            value = keep[..., generation] * self.mean_of(generation, nodes)
            nodes = nodes.index_copy(-1, generation, value + exogenous[..., generation])
        return nodes

    def _restart(self, seed: int) -> None:
        """Put all parameters where the constructor puts them."""
        # Constructors may draw from the global generator: fork it, so that the user's is untouched.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = type(self)(len(self.offset))
        for parameter, start in zip(self.parameters(), fresh.parameters(), strict=True):
            parameter.copy_(start)

    def _size(self) -> Tensor:
        """Squared size of all parameters but the offset."""
        sizes = [p.square().sum() for p in self.parameters() if p is not self.offset]
        return torch.stack(sizes).sum() if sizes else self.offset.new_zeros(())

    def _check_is_finite(self) -> None:
        if not all(bool(tensor.isfinite().all()) for tensor in self.state_dict().values()):
            message = (
                f"The fit of the mechanism `{type(self).__name__}` diverged: it has parameters that "
                "are not finite. Bound what `parent_effect` makes of large node values, for example "
                "by tanh, or start its parameters nearer to 0."
            )
            raise RuntimeError(message)

    def upgrade_state(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Bring tensors that 0.1 saved to the names and the precision of this class.

        Files of 0.1 have no ``is_edge``, and those of programs no ``noise_sd``.

        Parameters
        ----------
        state_dict
            Tensors by name, changed in place; those of this version stay as they are.
        prefix
            What stands before the names of this mechanism.
        """
        if f"{prefix}is_edge" in state_dict:
            return
        weight = state_dict.get(f"{prefix}edge_weight")
        state_dict[f"{prefix}is_edge"] = self.is_edge if weight is None else weight != 0
        state_dict.setdefault(f"{prefix}noise_sd", self.noise_sd)
        for name, own in self.state_dict().items():
            saved = state_dict.get(prefix + name)
            if saved is not None:
                state_dict[prefix + name] = saved.to(own.dtype)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # noqa: ANN401
        self.upgrade_state(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
