from __future__ import annotations

import torch
from torch import Tensor, nn

from scgim.module._likelihood import Expression, Likelihood, ProteinLikelihood, get_likelihood
from scgim.module._observation import GeneProgramDecoder


class ProteinDecoder(nn.Module):
    """Second observation model of the same nodes: surface proteins measured beside RNA.

    Linear in the nodes, as gene programs are, so a change of basis can be moved into it exactly.
    Counts have their own rate each and no total, since a few proteins are no composition.

    Parameters
    ----------
    n_nodes
        Number of nodes.
    n_proteins
        Number of proteins.
    n_covariates
        Width of the one-hot and continuous covariates.
    likelihood
        ``"nb"`` for counts, ``"normal"`` for transformed values.
    intercept
        Start of the intercepts, shape ``(n_proteins,)``, or ``None``.
    """

    def __init__(
        self,
        n_nodes: int,
        n_proteins: int,
        n_covariates: int = 0,
        *,
        likelihood: ProteinLikelihood | Likelihood = "nb",
        intercept: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.likelihood = get_likelihood(likelihood)
        self.linear = GeneProgramDecoder(n_nodes, n_proteins, n_covariates)
        self.log_theta = nn.Parameter(torch.full((n_proteins,), self.likelihood.start_log_theta))
        if intercept is not None:
            self.linear.intercept.data.copy_(intercept)

    def forward(self, nodes: Tensor, covariates: Tensor | None) -> Expression:
        """Nodes & covariates -> parameters of the proteins of each cell.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.
        covariates
            Encoded covariates, shape ``(..., n_covariates)``, or ``None``.

        Returns
        -------
        Parameters of the likelihood, each ``(..., n_proteins)``.
        """
        log_rate = self.linear(nodes, covariates)
        return Expression(log_rate, log_rate[..., :1] * 0, self.log_theta, None)

    def loss(self, proteins: Tensor, nodes: Tensor, covariates: Tensor | None) -> Tensor:
        """Negative log likelihood of the proteins of each cell, shape ``(n_cells,)``.

        Parameters
        ----------
        proteins
            Observed proteins, shape ``(n_cells, n_proteins)``.
        nodes
            Node values, shape ``(n_cells, n_nodes)``.
        covariates
            Encoded covariates, shape ``(n_cells, n_covariates)``, or ``None``.

        Returns
        -------
        Loss in nats.
        """
        return self.likelihood.loss(proteins, self(nodes, covariates))

    def encoder_input(self, proteins: Tensor) -> Tensor:
        """Bring proteins to a scale that the encoder can read, same shape."""
        return self.likelihood.encoder_input(proteins)
