from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from scvi.distributions import (
    NegativeBinomial,
    Normal,
    Poisson,
    ZeroInflatedNegativeBinomial,
)
from torch import Tensor
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from torch.distributions import Distribution

MAX_TABULATED = 64
GeneLikelihood = Literal["nb", "zinb", "poisson", "normal"]


class Expression(NamedTuple):
    """What the decoder says about the expression of each cell.

    Attributes
    ----------
    log_scale
        Log of the expected share of each gene, shape ``(n_cells, n_genes)``; the mean itself for
        the normal likelihood.
    log_library
        Log total count of each cell, shape ``(n_cells, 1)``.
    log_theta
        Log inverse dispersion of each gene (log standard deviation for the normal likelihood),
        shape ``(n_genes,)``.
    dropout_logits
        Logit of an extra zero, shape ``(n_cells, n_genes)``; ``None`` unless zero-inflated.
    """

    log_scale: Tensor
    log_library: Tensor
    log_theta: Tensor
    dropout_logits: Tensor | None


def make_distribution(likelihood: GeneLikelihood, expression: Expression) -> Distribution:
    """Build the scvi-tools distribution of the counts.

    Parameters
    ----------
    likelihood
        Name of the likelihood.
    expression
        Output of the decoder.

    Returns
    -------
    Distribution over expression, event shape ``(n_cells, n_genes)``, with a ``scale``.
    """
    if likelihood == "normal":
        mean = expression.log_scale
        return Normal(mean, expression.log_theta.exp().expand_as(mean), normal_mu=mean)
    scale = expression.log_scale.exp()
    rate = expression.log_library.exp() * scale
    if likelihood == "poisson":
        return Poisson(rate=rate, scale=scale)
    theta = expression.log_theta.exp()
    if likelihood == "zinb":
        return ZeroInflatedNegativeBinomial(
            mu=rate, theta=theta, zi_logits=expression.dropout_logits, scale=scale
        )
    return NegativeBinomial(mu=rate, theta=theta, scale=scale)


def negative_log_likelihood(
    likelihood: GeneLikelihood, counts: Tensor, expression: Expression
) -> Tensor:
    """Reconstruction loss of each cell, in nats, constants included.

    The same numbers as ``-make_distribution(...).log_prob(counts).sum(-1)`` but for its epsilons,
    with fewer special functions.

    Parameters
    ----------
    likelihood
        Name of the likelihood.
    counts
        Observed expression, shape ``(n_cells, n_genes)``.
    expression
        Output of the decoder.

    Returns
    -------
    Loss per cell, shape ``(n_cells,)``.
    """
    if likelihood == "normal":
        return _normal_loss(counts, expression)
    if likelihood == "poisson":
        return _poisson_loss(counts, expression)
    if likelihood == "zinb":
        return _zinb_loss(counts, expression)
    return _nb_terms(counts, expression).sum(-1) - _nb_log_gammas(counts, expression.log_theta)


def _normal_loss(values: Tensor, expression: Expression) -> Tensor:
    standardised = (values - expression.log_scale) * torch.exp(-expression.log_theta)
    half_log_2pi = 0.9189385332046727
    return (0.5 * standardised.square() + expression.log_theta + half_log_2pi).sum(-1)


def _poisson_loss(counts: Tensor, expression: Expression) -> Tensor:
    log_rate = expression.log_library + expression.log_scale
    return (log_rate.exp() - counts * log_rate + torch.lgamma(counts + 1)).sum(-1)


def _nb_terms(counts: Tensor, expression: Expression) -> Tensor:
    """All of the negative binomial but the log-gammas, shape ``(n_cells, n_genes)``."""
    log_rate = expression.log_library + expression.log_scale
    log_theta = expression.log_theta
    excess = softplus(log_rate - log_theta)  # log(theta + mu) - log(theta)
    return (counts + log_theta.exp()) * excess - counts * (log_rate - log_theta)


def _nb_log_gammas(counts: Tensor, log_theta: Tensor) -> Tensor:
    """Sum of log binomial coefficients per cell, shape ``(n_cells,)``."""
    theta = log_theta.exp()
    constant = torch.lgamma(counts + 1).sum(-1)
    if counts.is_cuda:  # looking for large counts would make the host wait for the device
        return (torch.lgamma(counts + theta) - torch.lgamma(theta)).sum(-1) - constant
    # log gamma(x + theta) - log gamma(theta) is a sum of x logarithms: tabulated for small counts
    # it costs a look-up in place of a log-gamma and, for the gradient, a digamma.
    steps = torch.arange(MAX_TABULATED, device=theta.device)
    rising = torch.log(theta[:, None] + steps).cumsum(1)
    table = torch.cat([torch.zeros_like(theta[:, None]), rising], 1)
    row = torch.arange(len(theta), device=theta.device) * table.shape[1]
    terms = (
        table.ravel()[counts.nan_to_num().clamp(0, MAX_TABULATED).long() + row].sum(-1) - constant
    )
    cell, gene = (counts > MAX_TABULATED).nonzero(as_tuple=True)
    if len(cell) == 0:
        return terms
    rest = torch.lgamma(counts[cell, gene] + theta[gene]) - torch.lgamma(
        theta[gene] + MAX_TABULATED
    )
    return terms.index_add(0, cell, rest)


def _zinb_loss(counts: Tensor, expression: Expression) -> Tensor:
    log_theta = expression.log_theta
    log_rate = expression.log_library + expression.log_scale
    logits = expression.dropout_logits
    assert logits is not None
    log_zero_nb = -log_theta.exp() * softplus(log_rate - log_theta)
    log_zero = softplus(log_zero_nb - logits) - softplus(-logits)
    log_nb = -_nb_terms(counts, expression)
    log_positive = log_nb - softplus(logits)
    loss = -torch.where(counts < 1e-8, log_zero, log_positive).sum(-1)
    return loss - _nb_log_gammas(counts, log_theta)
