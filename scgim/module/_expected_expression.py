from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from scgim.module._causal_module import CausalModule
    from scgim.module._likelihood import Expression


class ExpectedExpression:
    """Mean of log1p(CP10k) under the likelihood, without sampling counts.

    What can be computed once for all cells, such as a table over the rates of each gene, is computed
    when the object is made; see :meth:`~scgim.module.Likelihood.expected_log1p`.

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
        self._mean = module.likelihood.expected_log1p(module.log_theta, library)

    @torch.no_grad()
    def __call__(
        self, nodes: Tensor, covariates: Tensor | None, gene_shift: Tensor | None = None
    ) -> Tensor:
        """Mean expression of each cell.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_cells, n_nodes)``.
        covariates
            Encoded covariates, shape ``(n_cells, n_covariates)``, or ``None``.
        gene_shift
            As for :meth:`~scgim.module.CausalModule.decode`.

        Returns
        -------
        Mean log1p(CP10k), or mean expression where it came in transformed, ``(..., n_cells,
        n_genes)``.
        """
        return self.of(self._module.decode(nodes, nodes[..., :1] * 0, covariates, gene_shift))

    @torch.no_grad()
    def of(self, expression: Expression) -> Tensor:
        """Mean expression for given parameters of the likelihood.

        Parameters
        ----------
        expression
            Output of :meth:`~scgim.module.CausalModule.decode`.

        Returns
        -------
        Shape ``(..., n_cells, n_genes)``.
        """
        return self._mean(expression)
