from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

# Expression is reported as log1p of counts per ten thousand, the unit of most screens.
TARGET_TOTAL = 1e4
# A gene with a share of exp(-18) has 1.5e-4 counts per ten thousand: its log1p is as good as 0.
LOWEST_LOG_SCALE = -18.0
# With 128 shares and 48 nodes of the quadrature the table is within 1e-3 of exact sums over negative
# binomials (library 3,000, inverse dispersion 0.3 to 100); eight times as many of each halve that.
N_RATES = 128
N_QUADRATURE = 48
# Cells differ in their library; the mean over these quantiles stands for the mean over cells.
N_LIBRARIES = 9
LOWEST_QUANTILE, HIGHEST_QUANTILE = 0.05, 0.95
# Below exp(-16) the integrand is proportional to t, above exp(4) its factor exp(-t) is below 1e-23.
LOWEST_LOG_T, HIGHEST_LOG_T = -16.0, 4.0


class Log1pTable:
    r"""Mean of log1p(CP10k) of counts, tabulated for each gene over its expected share.

    For counts :math:`x` with total :math:`\ell` and :math:`c = 10^4 / \ell`, Frullani's integral gives

    .. math::
        E \log(1 + cx) = \int_0^\infty (1 - E e^{-tcx}) \frac{e^{-t}}{t} dt,

    so the Laplace transform :math:`E e^{-sx}` of the counts is all that is needed. Making the table
    costs one pass over genes for each node of the quadrature, reading it a linear interpolation.

    Parameters
    ----------
    laplace_transform
        :math:`s` of shape ``()`` and rates of shape ``(n_rates, 1)`` -> :math:`E e^{-sx}`, shape
        ``(n_rates, n_genes)`` or, where genes do not differ, ``(n_rates, 1)``; in float64.
    library
        Total counts over which the mean is taken, shape ``(n_cells,)``.
    n_genes
        Number of genes.
    device
        Where the table is kept.
    """

    def __init__(
        self,
        laplace_transform: Callable[[Tensor, Tensor], Tensor],
        library: Tensor,
        n_genes: int,
        device: torch.device,
    ) -> None:
        quantiles = torch.linspace(LOWEST_QUANTILE, HIGHEST_QUANTILE, N_LIBRARIES)
        libraries = torch.quantile(library.float().cpu(), quantiles).double().to(device)
        self._grid = torch.linspace(LOWEST_LOG_SCALE, 0.0, N_RATES, device=device)
        share = self._grid.double()[:, None].exp()
        # Substituting t = e^y makes the integrand smooth on a finite range.
        log_t = torch.linspace(
            LOWEST_LOG_T, HIGHEST_LOG_T, N_QUADRATURE, device=device, dtype=torch.float64
        )
        step = float(log_t[1] - log_t[0])
        table = torch.zeros(N_RATES, n_genes, device=device, dtype=torch.float64)
        for library_size in libraries:
            rate = library_size * share
            for t in log_t.exp():
                laplace = laplace_transform(t * TARGET_TOTAL / library_size, rate)
                table += (1 - laplace) * torch.exp(-t) * step / N_LIBRARIES
        by_gene = table.float().T.contiguous()
        self._value = by_gene.ravel()
        self._slope = torch.diff(by_gene, append=by_gene[:, -1:]).ravel()
        self._row = torch.arange(n_genes, device=device) * N_RATES

    def __call__(self, log_scale: Tensor) -> Tensor:
        """Look up the mean of each gene.

        Parameters
        ----------
        log_scale
            Log of the expected share of each gene, shape ``(..., n_genes)``.

        Returns
        -------
        Mean log1p(CP10k), same shape.
        """
        step = self._grid[1] - self._grid[0]
        position = (log_scale - self._grid[0]).div_(step).clamp_(0, N_RATES - 1.001)
        below = position.long()
        weight = position.sub_(below)
        below += self._row
        return self._slope.take(below).mul_(weight).add_(self._value.take(below))
