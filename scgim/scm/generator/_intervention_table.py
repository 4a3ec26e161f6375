from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from scgim.scm._dose_response import LN10, hill_response

if TYPE_CHECKING:
    from scgim._types import FloatArray

# Weak priors of the prototype study: shifts in noise standard deviations, EC50 in decades.
PRIOR_SHIFT_SD = 3.0
PRIOR_LOG10_EC50_SD = 1.0
PRIOR_STEEPNESS_SD = 0.3
# A steepness of n ln(10) = softplus(2.2) is a Hill slope of about one.
PRIOR_STEEPNESS = 2.2
# Slope of the fixed curves, one at each dose, whose sum is a free dose response.
FREE_HILL = 2.0


class InterventionTable(nn.Module):
    r"""A free row (shift, EC50, slope) for each seen perturbation, with weak Gaussian priors.

    The rows are random effects: they are learned from the cells alone, and what the perturbation
    features say about them is learned after training
    (:class:`~scgim.scm.InterventionGenerator`). The shift of perturbation :math:`k` at dose
    :math:`d` is :math:`a_k h_k(d)` with a Hill curve :math:`h_k`, so dose zero is the control.

    Parameters
    ----------
    n_perturbations
        Number of seen perturbations, the control not counted.
    n_nodes
        Number of nodes.
    anchors
        Log10 doses of the fixed curves whose sum is the ``"free"`` dose response, shape
        ``(n_curves,)``; ``None`` for one Hill curve with its own EC50 and slope per perturbation.
    log10_dose_center
        Prior mean of log10 EC50, before the data move it.
    """

    anchors: Tensor | None

    def __init__(
        self,
        n_perturbations: int,
        n_nodes: int,
        *,
        anchors: Tensor | None = None,
        log10_dose_center: float = 0.0,
    ) -> None:
        super().__init__()
        n_curves = 1 if anchors is None else len(anchors)
        self.register_buffer("anchors", anchors)
        self.shift = nn.Parameter(0.01 * torch.randn(n_perturbations, n_curves, n_nodes))
        self.log10_ec50 = nn.Parameter(torch.full((n_perturbations,), float(log10_dose_center)))
        self.steepness = nn.Parameter(torch.zeros(n_perturbations))
        self.mean_log10_ec50 = nn.Parameter(torch.tensor(float(log10_dose_center)))
        self.mean_steepness = nn.Parameter(torch.tensor(PRIOR_STEEPNESS))

    @property
    def hill(self) -> Tensor:
        """Hill slope of each perturbation, shape ``(n_perturbations,)``."""
        return softplus(self.mean_steepness + self.steepness) / LN10

    @property
    def saturating_shift(self) -> Tensor:
        """Shift at saturating dose, shape ``(n_perturbations, n_nodes)``, in noise sd."""
        return self.shift.sum(1)

    @torch.no_grad()
    def set_hill(self, hill: float) -> None:
        """Give all perturbations one Hill slope.

        Parameters
        ----------
        hill
            The slope, positive.
        """
        self.steepness.zero_()
        steepness = torch.tensor(hill * LN10, dtype=torch.float64)
        self.mean_steepness.copy_(torch.log(torch.expm1(steepness)))

    def response(self, index: Tensor, log10_dose: Tensor) -> Tensor:
        """Reached fraction of each curve of given perturbations at given doses.

        Parameters
        ----------
        index
            Row of the table, any shape.
        log10_dose
            Dose, log10, broadcastable to ``index``.

        Returns
        -------
        Response between 0 and 1, shape of ``index`` plus ``(n_curves,)``.
        """
        return self.response_at(log10_dose, self.log10_ec50[index], self.hill[index])

    def response_at(self, log10_dose: Tensor, log10_ec50: Tensor, hill: Tensor) -> Tensor:
        """Reached fraction of each curve, for EC50 and slopes that need not be in the table.

        Parameters
        ----------
        log10_dose
            Dose, log10.
        log10_ec50
            Dose of half the effect, log10, broadcastable to ``log10_dose``.
        hill
            Slope, broadcastable to both.

        Returns
        -------
        Response between 0 and 1, broadcast shape plus ``(n_curves,)``.
        """
        if self.anchors is None:
            return hill_response(log10_dose, log10_ec50, hill).unsqueeze(-1)
        shape = torch.broadcast_shapes(log10_dose.shape, log10_ec50.shape)  # type: ignore[no-untyped-call]
        dose = log10_dose.expand(shape).unsqueeze(-1)
        slope = torch.tensor(FREE_HILL, device=self.anchors.device)
        return hill_response(dose, self.anchors.to(dose.dtype), slope)

    @torch.no_grad()
    def cpu_response(
        self, log10_dose: FloatArray, log10_ec50: FloatArray, hill: float
    ) -> FloatArray:
        """As :meth:`response_at`, on arrays.

        Parameters
        ----------
        log10_dose
            Dose, log10.
        log10_ec50
            Dose of half the effect, log10, broadcastable to ``log10_dose``.
        hill
            Slope.

        Returns
        -------
        Response between 0 and 1, broadcast shape plus ``(n_curves,)``.
        """
        device = self.shift.device
        response = self.response_at(
            torch.as_tensor(log10_dose, device=device),
            torch.as_tensor(log10_ec50, device=device),
            torch.tensor(hill, device=device),
        )
        array: FloatArray = response.double().cpu().numpy()
        return array

    def forward(self, components: Tensor, log10_dose: Tensor) -> Tensor:
        """Add the shifts of the perturbations in each cell.

        Parameters
        ----------
        components
            Rows of the table that act on a cell, shape ``(n_cells, n_components)``; -1 fills up.
            A control cell has only -1.
        log10_dose
            Dose of each cell, log10, shape ``(n_cells, 1)``; minus infinity is dose zero.

        Returns
        -------
        Shift of each cell, shape ``(n_cells, n_nodes)``; exactly 0 for control and dose zero.
        """
        index = components.clamp(min=0)
        response = self.response(index, log10_dose)
        response = torch.where((components >= 0).unsqueeze(-1), response, 0.0)
        return torch.einsum("nmc,nmcj->nj", response, self.shift[index])

    def negative_log_prior(self) -> Tensor:
        """Gaussian prior on all rows, in nats up to a constant, shape ``()``."""
        shift_variance = PRIOR_SHIFT_SD**2 / self.shift.shape[1]
        return 0.5 * (
            self.shift.square().sum() / shift_variance
            + (self.log10_ec50 - self.mean_log10_ec50).square().sum() / PRIOR_LOG10_EC50_SD**2
            + self.steepness.square().sum() / PRIOR_STEEPNESS_SD**2
            + (self.mean_steepness - PRIOR_STEEPNESS).square()
        )
