"""Likelihoods of expression: each is one class that says all that depends on its choice."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from scvi.distributions import (
    NegativeBinomial,
    Normal,
    Poisson,
    ZeroInflatedNegativeBinomial,
)
from torch import Tensor
from torch.nn.functional import softplus

from scgim._messages import check_choice
from scgim.module._log1p_table import Log1pTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.distributions import Distribution

# The names of `LIKELIHOODS`; a type checker cannot read them from there.
GeneLikelihood = Literal["nb", "zinb", "poisson", "normal"]
# A subset: the decoder of proteins has no extra zeros, and their counts are overdispersed.
ProteinLikelihood = Literal["nb", "normal"]

# A table of 64 logarithms per gene replaces 256 log-gammas per gene and minibatch of 256 cells; each
# larger count, rare in single cells, still costs a log-gamma.
MAX_TABULATED = 64
# A count below this is a zero, as in the zero-inflated distribution of scvi-tools.
ZERO = 1e-8
# Half a count keeps the start of a gene without counts finite.
PSEUDOCOUNT = 0.5
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Expression(NamedTuple):
    """What the decoder says about the expression of each cell.

    Attributes
    ----------
    log_scale
        Log of the expected share of each gene, shape ``(n_cells, n_genes)``; the mean itself for
        likelihoods of transformed expression.
    log_library
        Log total count of each cell, shape ``(n_cells, 1)``.
    log_theta
        Log inverse dispersion of each gene (log standard deviation for likelihoods of transformed
        expression), shape ``(n_genes,)``.
    dropout_logits
        Logit of an extra zero, shape ``(n_cells, n_genes)``; ``None`` unless zero-inflated.
    """

    log_scale: Tensor
    log_library: Tensor
    log_theta: Tensor
    dropout_logits: Tensor | None


class Likelihood(ABC):
    """How expression scatters around what the decoder expects, and all that follows from it.

    An object without state or parameters: those of a gene, such as ``log_theta``, are in the module.
    Derive from :class:`CountLikelihood` or :class:`ExpressionLikelihood`, which answer what depends
    on whether the data are counts.

    Attributes
    ----------
    name
        Name by which users choose it.
    is_count
        Whether the data are counts (whole, not negative, with a total in each cell) or any finite
        numbers. Samples and what is read from a model are then counts, or expression as it came in.
    is_zero_inflated
        Whether the decoder also gives the logit of an extra zero.
    start_log_theta
        Where ``log_theta`` starts.
    """

    name: ClassVar[str]
    is_count: ClassVar[bool]
    is_zero_inflated: ClassVar[bool] = False
    start_log_theta: ClassVar[float]

    @abstractmethod
    def distribution(self, expression: Expression) -> Distribution:
        """Build the distribution of the data.

        Parameters
        ----------
        expression
            Output of the decoder.

        Returns
        -------
        Distribution over expression, event shape ``(n_cells, n_genes)``, with a ``scale``.
        """

    def loss(self, values: Tensor, expression: Expression) -> Tensor:
        """Reconstruction loss of each cell, in nats, constants included.

        A likelihood may compute the same with fewer special functions.

        Parameters
        ----------
        values
            Observed expression, shape ``(n_cells, n_genes)``.
        expression
            Output of the decoder.

        Returns
        -------
        Loss per cell, shape ``(n_cells,)``.
        """
        log_prob: Tensor = self.distribution(expression).log_prob(values)
        return -log_prob.sum(-1)

    @abstractmethod
    def information(self, mean: Tensor, log_theta: Tensor) -> Tensor:
        """Fisher information of one cell on the output of the decoder.

        Parameters
        ----------
        mean
            Expected count of each gene, shape ``(n_genes,)``; of no meaning for transformed
            expression.
        log_theta
            Log inverse dispersion or log standard deviation, same shape.

        Returns
        -------
        Information on the log-rate of each gene, or on its mean, same shape.
        """

    @abstractmethod
    def expected_log1p(self, log_theta: Tensor, library: Tensor) -> Callable[[Expression], Tensor]:
        """Prepare the mean of expression on the scale of predictions, without sampling.

        Parameters
        ----------
        log_theta
            Log inverse dispersion of each gene, shape ``(n_genes,)``.
        library
            Total counts over which the mean is taken, shape ``(n_cells,)``.

        Returns
        -------
        Output of the decoder -> mean of log1p(CP10k), or of transformed expression itself, shape
        ``(..., n_genes)``.
        """

    @abstractmethod
    def log_scale(self, logits: Tensor) -> Tensor:
        """Output of a decoder -> log of shares that sum to 1, or the mean itself; same shape."""

    @abstractmethod
    def scale(self, log_scale: Tensor) -> Tensor:
        """Undo the logarithm of :meth:`log_scale`: shares, or the mean itself; same shape."""

    @abstractmethod
    def library(self, values: Tensor) -> Tensor:
        """Total count of each cell, 1 for transformed expression, shape ``(n_cells, 1)``."""

    @abstractmethod
    def encoder_input(self, values: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Bring data to a scale that the encoder can read.

        Parameters
        ----------
        values
            Observed expression, shape ``(n_cells, n_genes)``.
        factor
            What counts are multiplied by before the logarithm, shape ``(n_cells, 1)``.

        Returns
        -------
        Logarithm of normalised counts, or transformed expression as it is; same shape.
        """

    @abstractmethod
    def start_intercept(self, total: np.ndarray, n_cells: int) -> np.ndarray:
        """Where the intercepts of a decoder start.

        Parameters
        ----------
        total
            Sum of each gene over the cells, shape ``(n_genes,)``.
        n_cells
            Number of cells.

        Returns
        -------
        Log share of each gene, or its mean, same shape.
        """


class CountLikelihood(Likelihood):
    """Likelihood of raw counts, whose expectation is the library times the share of a gene."""

    is_count = True
    start_log_theta = 1.0  # moderate overdispersion, from which training starts

    @abstractmethod
    def laplace_transform(self, s: Tensor, rate: Tensor, log_theta: Tensor) -> Tensor:
        r"""Laplace transform :math:`E e^{-sx}` of the counts, from which means of log1p follow.

        Parameters
        ----------
        s
            Its argument, shape ``()``.
        rate
            Expected counts, shape ``(n_rates, 1)``.
        log_theta
            Log inverse dispersion, shape ``(n_genes,)``.

        Returns
        -------
        Shape ``(n_rates, n_genes)``, or ``(n_rates, 1)`` if genes do not differ.
        """

    def expected_log1p(self, log_theta: Tensor, library: Tensor) -> Callable[[Expression], Tensor]:
        """Tabulate the mean of log1p(CP10k), by the Laplace transform of the counts."""
        wide = log_theta.double()
        table = Log1pTable(
            lambda s, rate: self.laplace_transform(s, rate, wide),
            library,
            n_genes=len(log_theta),
            device=log_theta.device,
        )
        return lambda expression: table(expression.log_scale)

    def log_scale(self, logits: Tensor) -> Tensor:
        """Log of shares that sum to 1."""
        return torch.log_softmax(logits, -1)

    def scale(self, log_scale: Tensor) -> Tensor:
        """Shares."""
        return log_scale.exp()

    def library(self, values: Tensor) -> Tensor:
        """Total count of each cell."""
        return values.sum(-1, keepdim=True)

    def encoder_input(self, values: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Logarithm of normalised counts."""
        return torch.log1p(values * factor)

    def start_intercept(self, total: np.ndarray, n_cells: int) -> np.ndarray:
        """Log share of each gene."""
        del n_cells
        log_share: np.ndarray = np.log((total + PSEUDOCOUNT) / (total + PSEUDOCOUNT).sum())
        return log_share


class ExpressionLikelihood(Likelihood):
    """Likelihood of transformed expression, whose expectation is the output of the decoder."""

    is_count = False
    start_log_theta = 0.0  # a standard deviation of 1

    def expected_log1p(self, log_theta: Tensor, library: Tensor) -> Callable[[Expression], Tensor]:
        """Take the mean as it is: expression is on the scale of predictions already."""
        del log_theta, library
        return lambda expression: expression.log_scale

    def log_scale(self, logits: Tensor) -> Tensor:
        """Leave the mean as it is."""
        return logits

    def scale(self, log_scale: Tensor) -> Tensor:
        """Leave the mean as it is."""
        return log_scale

    def library(self, values: Tensor) -> Tensor:
        """One for each cell: transformed expression has no total."""
        return torch.ones_like(values[:, :1])

    def encoder_input(self, values: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Expression as it is."""
        del factor
        return values

    def start_intercept(self, total: np.ndarray, n_cells: int) -> np.ndarray:
        """Mean of each gene."""
        return total / n_cells


class NegativeBinomialLikelihood(CountLikelihood):
    r"""Counts :math:`x \sim \mathrm{NB}(\mu, \theta)` with variance :math:`\mu + \mu^2 / \theta`."""

    name = "nb"

    def distribution(self, expression: Expression) -> Distribution:
        """Negative binomial of scvi-tools."""
        scale = expression.log_scale.exp()
        return NegativeBinomial(
            mu=expression.log_library.exp() * scale,
            theta=expression.log_theta.exp(),
            scale=scale,
        )

    def loss(self, values: Tensor, expression: Expression) -> Tensor:
        """Compute the loss without the epsilons of scvi-tools, with fewer special functions."""
        terms = _nb_terms(values, expression).sum(-1)
        return terms - _nb_log_gammas(values, expression.log_theta)

    def information(self, mean: Tensor, log_theta: Tensor) -> Tensor:
        r"""Information on a log-rate, :math:`\mu\theta / (\mu + \theta)`."""
        theta = log_theta.exp()
        return mean * theta / (mean + theta)

    def laplace_transform(self, s: Tensor, rate: Tensor, log_theta: Tensor) -> Tensor:
        r""":math:`(1 + \tfrac{\mu}{\theta}(1 - e^{-s}))^{-\theta}`."""
        theta = log_theta.exp()
        return torch.exp(-theta * torch.log1p(rate / theta * -torch.expm1(-s)))


class ZeroInflatedLikelihood(NegativeBinomialLikelihood):
    """Negative binomial counts, some of which are set to zero whatever their rate."""

    name = "zinb"
    is_zero_inflated = True

    def distribution(self, expression: Expression) -> Distribution:
        """Zero-inflated negative binomial of scvi-tools."""
        scale = expression.log_scale.exp()
        return ZeroInflatedNegativeBinomial(
            mu=expression.log_library.exp() * scale,
            theta=expression.log_theta.exp(),
            zi_logits=expression.dropout_logits,
            scale=scale,
        )

    def loss(self, values: Tensor, expression: Expression) -> Tensor:
        """Compute the loss without the epsilons of scvi-tools, with fewer special functions."""
        log_theta = expression.log_theta
        log_rate = expression.log_library + expression.log_scale
        logits = expression.dropout_logits
        assert logits is not None
        log_zero_nb = -log_theta.exp() * softplus(log_rate - log_theta)
        log_zero = softplus(log_zero_nb - logits) - softplus(-logits)
        log_nb = -_nb_terms(values, expression)
        log_positive = log_nb - softplus(logits)
        loss = -torch.where(values < ZERO, log_zero, log_positive).sum(-1)
        return loss - _nb_log_gammas(values, log_theta)

    def expected_log1p(self, log_theta: Tensor, library: Tensor) -> Callable[[Expression], Tensor]:
        """Mean of the negative binomial, times the probability that a count is kept."""
        of_kept = super().expected_log1p(log_theta, library)

        def expected(expression: Expression) -> Tensor:
            assert expression.dropout_logits is not None
            return of_kept(expression) * torch.sigmoid(-expression.dropout_logits)

        return expected


class PoissonLikelihood(CountLikelihood):
    """Counts without variance beyond that of counting; ``log_theta`` has no part in it."""

    name = "poisson"

    def distribution(self, expression: Expression) -> Distribution:
        """Poisson distribution of scvi-tools."""
        scale = expression.log_scale.exp()
        return Poisson(rate=expression.log_library.exp() * scale, scale=scale)

    def loss(self, values: Tensor, expression: Expression) -> Tensor:
        """Compute the loss from the log-rate."""
        log_rate = expression.log_library + expression.log_scale
        return (log_rate.exp() - values * log_rate + torch.lgamma(values + 1)).sum(-1)

    def information(self, mean: Tensor, log_theta: Tensor) -> Tensor:
        r"""Information on a log-rate, :math:`\mu`."""
        del log_theta
        return mean

    def laplace_transform(self, s: Tensor, rate: Tensor, log_theta: Tensor) -> Tensor:
        r""":math:`\exp(-\mu (1 - e^{-s}))`, the same for all genes."""
        del log_theta
        return torch.exp(rate * torch.expm1(-s))


class NormalLikelihood(ExpressionLikelihood):
    """Transformed expression with Gaussian noise of a standard deviation per gene."""

    name = "normal"

    def distribution(self, expression: Expression) -> Distribution:
        """Gaussian of scvi-tools."""
        mean = expression.log_scale
        return Normal(mean, expression.log_theta.exp().expand_as(mean), normal_mu=mean)

    def loss(self, values: Tensor, expression: Expression) -> Tensor:
        """Compute the loss from the log standard deviation."""
        standardised = (values - expression.log_scale) * torch.exp(-expression.log_theta)
        return (0.5 * standardised.square() + expression.log_theta + HALF_LOG_2PI).sum(-1)

    def information(self, mean: Tensor, log_theta: Tensor) -> Tensor:
        r"""Information on a mean, :math:`1 / \sigma^2`."""
        del mean
        return (-2 * log_theta).exp()


LIKELIHOODS: dict[str, Likelihood] = {
    likelihood.name: likelihood
    for likelihood in (
        NegativeBinomialLikelihood(),
        ZeroInflatedLikelihood(),
        PoissonLikelihood(),
        NormalLikelihood(),
    )
}


def get_likelihood(likelihood: str | Likelihood) -> Likelihood:
    """Look up a likelihood by its name.

    Parameters
    ----------
    likelihood
        ``"nb"``, ``"zinb"``, ``"poisson"`` or ``"normal"``; a likelihood of your own comes back as
        it is.

    Returns
    -------
    The likelihood.

    Examples
    --------
    >>> get_likelihood("nb").is_count, get_likelihood("normal").is_count
    (True, False)
    """
    if isinstance(likelihood, Likelihood):
        return likelihood
    check_choice("gene_likelihood", likelihood, list(LIKELIHOODS))
    return LIKELIHOODS[likelihood]


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
