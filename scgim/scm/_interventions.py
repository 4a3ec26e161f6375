from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


@dataclass(frozen=True)
class Intervention:
    r"""What is done to the mechanism of every node; the empty intervention changes nothing.

    A node :math:`z_j = f_j(z) + \varepsilon_j` becomes

    .. math:: z_j = (1 - c_j) f_j(z) + \delta_j + \sigma_j \varepsilon_j.

    A new kind of intervention is a function that returns one of these; nothing else in the
    package has to know about it.

    Attributes
    ----------
    shift
        Displacement :math:`\delta`, shape ``(..., n_nodes)``, in node units. Of programs and
        latent factors that is the standard deviation of their noise, of named genes that of
        control cells.
    noise_scale
        Factor :math:`\sigma` on the exogenous noise, same shape.
    is_cut
        Whether the edges into the node are cut (:math:`c`), same shape, 0 or 1; in between it is
        the probability of a cut.
    probability
        That each node is a target at all, same shape, where it is not certain who is one: the other
        three then say what is done to a node *if* it is. ``None`` where they say what is done.

    See Also
    --------
    shift_nodes, set_nodes, scale_nodes : The kinds that scgim has.
    """

    shift: Tensor
    noise_scale: Tensor
    is_cut: Tensor
    probability: Tensor | None = None

    def __getitem__(self, index: Any) -> Intervention:  # noqa: ANN401 - what a tensor takes
        """Pick interventions of a batch, as from a tensor."""
        return self.map(lambda values: values[index])

    def map(self, function: Callable[[Tensor], Tensor]) -> Intervention:
        """Apply a function to all tensors alike.

        Parameters
        ----------
        function
            For example a change of shape, type or device.

        Returns
        -------
        The changed intervention.
        """
        return Intervention(
            shift=function(self.shift),
            noise_scale=function(self.noise_scale),
            is_cut=function(self.is_cut),
            probability=None if self.probability is None else function(self.probability),
        )

    def draw(self, rng: np.random.Generator) -> Intervention:
        """Draw which nodes are targets, where that is not certain.

        Parameters
        ----------
        rng
            Source of randomness.

        Returns
        -------
        An intervention whose targets are certain, same shape.
        """
        if self.probability is None:
            return self
        uniform = torch.as_tensor(rng.random(self.shift.shape), device=self.shift.device)
        is_target = (uniform < self.probability).to(self.shift)
        return Intervention(
            shift=is_target * self.shift,
            noise_scale=torch.where(is_target > 0, self.noise_scale, 1.0),
            is_cut=is_target * self.is_cut,
        )

    def moved_by(self, shift: Tensor) -> Intervention:
        """Add to the shift and leave noise and cuts as they are.

        Parameters
        ----------
        shift
            Displacement in node units, broadcastable to ``shift``.

        Returns
        -------
        The changed intervention.
        """
        return replace(self, shift=self.shift + shift)

    def at_node(self, node: int, other: Intervention) -> Intervention:
        """Replace what is done to one node.

        Parameters
        ----------
        node
            Place of the node.
        other
            Intervention on one node, whose tensors hold single numbers.

        Returns
        -------
        The changed intervention.
        """
        place = torch.arange(self.shift.shape[-1], device=self.shift.device) == node
        return Intervention(
            shift=torch.where(place, other.shift.to(self.shift), self.shift),
            noise_scale=torch.where(place, other.noise_scale.to(self.shift), self.noise_scale),
            is_cut=torch.where(place, other.is_cut.to(self.shift), self.is_cut),
        )

    def then(self, other: Intervention) -> Intervention:
        """Add another intervention: shifts add, noise scales multiply, cuts stay cut.

        Parameters
        ----------
        other
            Intervention on the same nodes.

        Returns
        -------
        The combination, the same whichever of the two comes first.
        """
        return Intervention(
            shift=self.shift + other.shift,
            noise_scale=self.noise_scale * other.noise_scale,
            is_cut=1 - (1 - self.is_cut) * (1 - other.is_cut),
        )


def shift_nodes(shift: Tensor) -> Intervention:
    """Move the mechanisms and keep all edges.

    Parameters
    ----------
    shift
        Displacement of each mechanism, shape ``(..., n_nodes)``; 0 where not targeted.

    Returns
    -------
    The shift intervention.

    See Also
    --------
    set_nodes : Hard intervention, which also cuts the incoming edges.
    """
    return Intervention(shift, torch.ones_like(shift), torch.zeros_like(shift))


def set_nodes(target_mask: Tensor, value: Tensor, noise_scale: float = 0.0) -> Intervention:
    """Replace the mechanisms of the targets and cut their incoming edges.

    Parameters
    ----------
    target_mask
        Which nodes are targeted, shape ``(..., n_nodes)``, 0 or 1.
    value
        Mean that each target is set to, same shape, *including* the node's own offset.
    noise_scale
        Noise that is left to a target; 0 clamps it.

    Returns
    -------
    The hard intervention.
    """
    scale = torch.where(target_mask > 0, noise_scale, 1.0).to(value.dtype)
    return Intervention(target_mask * value, scale, target_mask.to(value.dtype))


def scale_nodes(noise_scale: Tensor) -> Intervention:
    """Multiply the exogenous noise of the nodes and keep their means and edges.

    Parameters
    ----------
    noise_scale
        Factor per node, shape ``(..., n_nodes)``; 1 where not targeted.

    Returns
    -------
    The scale intervention.
    """
    return Intervention(torch.zeros_like(noise_scale), noise_scale, torch.zeros_like(noise_scale))


def shift_node(shift: float) -> Intervention:
    """Move the mechanism of one node and keep its edges.

    Parameters
    ----------
    shift
        Displacement in node units.

    Returns
    -------
    Intervention on one node, for example for :meth:`scgim.model.GIM.do`.
    """
    return shift_nodes(torch.tensor(float(shift)))


def set_node(value: float, noise_scale: float = 0.0) -> Intervention:
    """Set one node and cut its incoming edges.

    Parameters
    ----------
    value
        Node value, as in ``GIM.predict(..., output="nodes")``.
    noise_scale
        Noise that is left to it; 0 clamps it.

    Returns
    -------
    Intervention on one node.

    Examples
    --------
    >>> set_node(-2.0).shift, set_node(-2.0).is_cut
    (tensor(-2.), tensor(1.))
    """
    return set_nodes(torch.tensor(1.0), torch.tensor(float(value)), noise_scale)


def scale_node(factor: float) -> Intervention:
    """Multiply the exogenous noise of one node and keep its mean and edges.

    Parameters
    ----------
    factor
        Factor, at least 0.

    Returns
    -------
    Intervention on one node.
    """
    return scale_nodes(torch.tensor(float(factor)))
