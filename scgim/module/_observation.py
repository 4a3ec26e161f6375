from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from scvi.nn import FCLayers
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class GeneProgramDecoder(nn.Module):
    """Linear decoder: each node moves one weighted set of genes, a gene program.

    Used for ``causal_space="programs"``. Covariates and batches add gene offsets beside the
    programs, so the basis of the programs can be changed without touching them.

    Parameters
    ----------
    n_nodes
        Number of programs.
    n_genes
        Number of genes.
    n_covariates
        Width of the one-hot and continuous covariates.
    mask
        Which gene may belong to which program, shape ``(n_genes, n_nodes)``; ``None`` for all.
    """

    mask: Tensor | None

    def __init__(
        self, n_nodes: int, n_genes: int, n_covariates: int = 0, mask: Tensor | None = None
    ) -> None:
        super().__init__()
        self.loadings = nn.Parameter(0.1 * torch.randn(n_genes, n_nodes))
        self.intercept = nn.Parameter(torch.zeros(n_genes))
        self.covariate_effects = _covariate_effects(n_genes, n_covariates)
        self.register_buffer("mask", mask)

    @property
    def programs(self) -> Tensor:
        """Weights of the genes in each program, shape ``(n_genes, n_nodes)``."""
        return self.loadings if self.mask is None else self.loadings * self.mask

    def forward(self, nodes: Tensor, covariates: Tensor | None) -> Tensor:
        """Log-rates before normalisation, ``(..., n_nodes)`` -> ``(..., n_genes)``.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.
        covariates
            Encoded covariates, shape ``(..., n_covariates)``, or ``None``.

        Returns
        -------
        Unnormalised log-rates, shape ``(..., n_genes)``.
        """
        logits = nodes @ self.programs.T + self.intercept
        return logits if covariates is None else logits + covariates @ self.covariate_effects.T


class NeuralDecoder(nn.Module):
    """Multi-layer decoder, for ``causal_space="latent"``: best fit, nobody reads the factors.

    The first layer is linear in the nodes, so a change of basis can be moved into it exactly.

    Parameters
    ----------
    n_nodes
        Number of latent factors.
    n_genes
        Number of genes.
    n_covariates
        Width of the one-hot and continuous covariates.
    n_hidden
        Width of the hidden layer.
    n_layers
        Number of hidden layers after the first linear map.
    """

    def __init__(
        self,
        n_nodes: int,
        n_genes: int,
        n_covariates: int = 0,
        *,
        n_hidden: int = 128,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        self.loadings = nn.Parameter(torch.randn(n_hidden, n_nodes) / n_nodes**0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden))
        self.covariate_effects = _covariate_effects(n_hidden, n_covariates)
        hidden: list[nn.Module] = []
        for _ in range(n_layers - 1):
            hidden += [nn.LayerNorm(n_hidden), nn.SiLU(), nn.Linear(n_hidden, n_hidden)]
        self.hidden = nn.Sequential(*hidden, nn.LayerNorm(n_hidden), nn.SiLU())
        self.output = nn.Linear(n_hidden, n_genes)

    @property
    def intercept(self) -> Tensor:
        """Bias of each gene, shape ``(n_genes,)``."""
        return self.output.bias

    def forward(self, nodes: Tensor, covariates: Tensor | None) -> Tensor:
        """Log-rates before normalisation, ``(..., n_nodes)`` -> ``(..., n_genes)``.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.
        covariates
            Encoded covariates, shape ``(..., n_covariates)``, or ``None``.

        Returns
        -------
        Unnormalised log-rates, shape ``(..., n_genes)``.
        """
        first = nodes @ self.loadings.T + self.hidden_bias
        if covariates is not None:
            first = first + covariates @ self.covariate_effects.T
        logits: Tensor = self.output(self.hidden(first))
        return logits


class NodeEncoder(nn.Module):
    """Gaussian posterior of the nodes of a cell, without knowledge of its perturbation.

    New cells can be encoded whatever was done to them.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_nodes
        Number of nodes.
    n_categories
        Number of categories of the batch and of each categorical covariate.
    n_continuous
        Number of continuous covariates.
    n_hidden
        Width of the hidden layers.
    n_layers
        Number of hidden layers.
    dropout_rate
        Dropout in the hidden layers.
    """

    def __init__(
        self,
        n_genes: int,
        n_nodes: int,
        *,
        n_categories: Sequence[int] = (),
        n_continuous: int = 0,
        n_hidden: int = 128,
        n_layers: int = 2,
        dropout_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = FCLayers(
            n_in=n_genes,
            n_out=n_hidden,
            n_cat_list=list(n_categories),
            n_cont=n_continuous,
            n_layers=n_layers,
            n_hidden=n_hidden,
            dropout_rate=dropout_rate,
            use_batch_norm=False,
            use_layer_norm=True,
            inject_covariates=False,
            activation_fn=nn.SiLU,
        )
        self.mean = nn.Linear(n_hidden, n_nodes)
        self.linear_path = nn.Linear(n_genes, n_nodes)
        nn.init.zeros_(self.linear_path.weight)
        self.log_variance = nn.Linear(n_hidden, n_nodes)
        nn.init.constant_(self.log_variance.bias, -2.0)

    def forward(
        self, expression: Tensor, categories: Sequence[Tensor], continuous: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Expression and covariates -> posterior mean and variance.

        Parameters
        ----------
        expression
            Log-normalised expression, shape ``(n_cells, n_genes)``.
        categories
            Integer codes of batch and categorical covariates, each ``(n_cells, 1)``.
        continuous
            Continuous covariates, shape ``(n_cells, n_continuous)``, or ``None``.

        Returns
        -------
        Mean and variance of the nodes, both ``(n_cells, n_nodes)``.
        """
        hidden = self.hidden(expression, categories, continuous)
        mean = self.mean(hidden) + self.linear_path(expression)
        return mean, self.log_variance(hidden).clamp(-8, 3).exp()

    def hidden(
        self, expression: Tensor, categories: Sequence[Tensor], continuous: Tensor | None
    ) -> Tensor:
        """Last hidden layer, shape ``(n_cells, n_hidden)``; arguments as :meth:`forward`."""
        hidden: Tensor = self.layers(expression, *categories, cont=continuous)
        return hidden

    @torch.no_grad()
    def start_from(self, components: Tensor, sd: Tensor, center: Tensor) -> None:
        """Start the posterior means at standardised principal components.

        From a random start the weakest program is often found late or not at all.

        Parameters
        ----------
        components
            Principal axes, shape ``(n_nodes, n_genes)``.
        sd
            Standard deviation along each, shape ``(n_nodes,)``.
        center
            Mean expression, shape ``(n_genes,)``.
        """
        self.linear_path.weight.copy_(components / sd[:, None])
        self.linear_path.bias.copy_(-(components @ center) / sd)
        self.mean.weight.mul_(0.1)


def _covariate_effects(n_outputs: int, n_covariates: int) -> nn.Parameter:
    """Offsets by covariates; without covariates nothing that distributed training would miss."""
    return nn.Parameter(torch.zeros(n_outputs, n_covariates), requires_grad=n_covariates > 0)
