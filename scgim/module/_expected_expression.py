from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from scgim.module._causal_module import CausalModule

TARGET_TOTAL = 1e4
N_RATES = 128
LOWEST_LOG_SCALE = -18.0
N_LIBRARIES = 9
N_QUADRATURE = 48


class ExpectedExpression:
    r"""Mean of log1p(CP10k) under the likelihood, without sampling counts.

    For counts :math:`x` with total :math:`\ell` and :math:`c = 10^4 / \ell`, Frullani's integral gives

    .. math::
        E \log(1 + cx) = \int_0^\infty (1 - E e^{-tcx}) \frac{e^{-t}}{t} dt,

    and the Laplace transform of the negative binomial is
    :math:`(1 + \tfrac{\mu}{\theta}(1 - e^{-tc}))^{-\theta}`. The integral is tabulated once for each
    gene over its rate and looked up by linear interpolation.

    Parameters
    ----------
    module
        The generative model.
    library
        Total counts over which the mean is taken, shape ``(n_cells,)``.
    """

    @torch.no_grad()
    def __init__(self, module: CausalModule, library: Tensor) -> None:
        self._module = module
        self._is_mean = module.gene_likelihood == "normal"
        if self._is_mean:
            return
        device = module.log_theta.device
        quantiles = torch.linspace(0.05, 0.95, N_LIBRARIES)
        libraries = torch.quantile(library.float().cpu(), quantiles).double().to(device)
        self._grid = torch.linspace(LOWEST_LOG_SCALE, 0.0, N_RATES, device=device)
        log_scale = self._grid.double()[:, None]
        theta = module.log_theta.double().exp()
        # Substituting t = e^y makes the integrand smooth on a finite range.
        log_t = torch.linspace(-16.0, 4.0, N_QUADRATURE, device=device, dtype=torch.float64)
        step = float(log_t[1] - log_t[0])
        table = torch.zeros(N_RATES, len(theta), device=device, dtype=torch.float64)
        for library_size in libraries:
            rate = library_size * log_scale.exp()
            for t in log_t.exp():
                thinned = -torch.expm1(-t * TARGET_TOTAL / library_size)
                if module.gene_likelihood == "poisson":
                    laplace = torch.exp(-rate * thinned).expand_as(table)
                else:
                    laplace = torch.exp(-theta * torch.log1p(rate / theta * thinned))
                table += (1 - laplace) * torch.exp(-t) * step / N_LIBRARIES
        by_gene = table.float().T.contiguous()
        self._value = by_gene.ravel()
        self._slope = torch.diff(by_gene, append=by_gene[:, -1:]).ravel()
        self._row = torch.arange(len(by_gene), device=device) * N_RATES

    @torch.no_grad()
    def __call__(self, nodes: Tensor, covariates: Tensor | None) -> Tensor:
        """Mean expression of each cell.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_cells, n_nodes)``.
        covariates
            Encoded covariates, shape ``(n_cells, n_covariates)``, or ``None``.

        Returns
        -------
        Mean log1p(CP10k), or mean expression for the normal likelihood, ``(..., n_cells,
        n_genes)``.
        """
        expression = self._module.decode(nodes, nodes[..., :1] * 0, covariates)
        if self._is_mean:
            return expression.log_scale
        step = self._grid[1] - self._grid[0]
        position = (expression.log_scale - self._grid[0]).div_(step).clamp_(0, N_RATES - 1.001)
        below = position.long()
        weight = position.sub_(below)
        below += self._row
        mean = self._slope.take(below).mul_(weight).add_(self._value.take(below))
        if expression.dropout_logits is None:
            return mean
        return mean * torch.sigmoid(-expression.dropout_logits)
