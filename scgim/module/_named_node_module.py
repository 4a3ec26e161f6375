"""The observation model of named genes: a node is the expression of a gene itself."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import poisson
from torch import Tensor, nn

from scgim.module._causal_module import CausalModule
from scgim.module._likelihood import get_likelihood
from scgim.scm import LinearMechanism

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scvi.module.base import LossOutput

    from scgim.module._likelihood import GeneLikelihood, Likelihood
    from scgim.scm import Mechanism

MIN_VARIANCE = 1e-12
LOG_RATES = np.linspace(-12.0, 9.0, 1500)
LARGEST_SUMMED = 40.0
MAX_COUNT = 160
# With the normal likelihood a node is its expression, without further noise.
LOG_NO_NOISE = -16.0


class NamedNodeModule(CausalModule):
    r"""Generative model of a cell whose nodes are its genes.

    .. math::
        z &= f(z) + \delta + \sigma\varepsilon, \quad \varepsilon \sim N(0, I)
            && \text{causal model under intervention, } z \text{ standardised by control cells}\\
        m &= \mu + s z + C c && \text{expression, with covariates } c \text{ as exogenous roots}\\
        x &= m \quad\text{(normal)}, \qquad
        x \sim \mathrm{NB}(\ell\,r(m), \theta) \quad\text{(counts)}
            && \text{observation model}

    For counts :math:`m` is the expected log1p of counts per size factor, and the rate :math:`r(m)` is
    the one whose Poisson counts have that mean, times one constant per gene that reproduces the mean
    counts of control cells. Nodes of given cells are read off their expression: it is the node
    itself (normal), or its posterior mean given the counting noise.

    It is fitted in closed form (:class:`~scgim.spaces.Space`), so there is no loss.

    Parameters
    ----------
    n_genes
        Number of genes, which are the nodes.
    components
        Perturbations in each label, shape ``(n_labels, n_components)``; -1 fills up.
    mechanism_class
        How genes follow their parents. It keeps its numbers in float64.
    gene_likelihood
        ``"nb"``, ``"poisson"`` or ``"normal"``.
    n_batch
        Number of batches.
    n_cats_per_cov
        Number of categories of each categorical covariate.
    n_continuous
        Number of continuous covariates.
    median_library
        Total count of a typical cell, whose size factor is 1.
    """

    mechanism: Mechanism
    center: Tensor
    scale: Tensor
    covariate_effects: Tensor
    gain: Tensor
    posterior_variance: Tensor
    log_correction: Tensor

    def __init__(
        self,
        n_genes: int,
        *,
        components: Tensor,
        mechanism_class: type[Mechanism] = LinearMechanism,
        gene_likelihood: GeneLikelihood | Likelihood = "normal",
        n_batch: int = 1,
        n_cats_per_cov: Sequence[int] = (),
        n_continuous: int = 0,
        median_library: float = 1e4,
    ) -> None:
        super().__init__()
        self.likelihood = get_likelihood(gene_likelihood)
        self.n_categories = [*n_cats_per_cov, n_batch]
        n_covariates = n_continuous + sum(n for n in self.n_categories if n > 1)
        self.mechanism = mechanism_class(n_genes).double().requires_grad_(requires_grad=False)
        self.register_buffer("components", components)
        self.register_buffer("median_library", torch.tensor(float(median_library)))
        self.register_buffer("center", torch.zeros(n_genes))
        self.register_buffer("scale", torch.ones(n_genes))
        self.register_buffer("covariate_effects", torch.zeros(n_covariates, n_genes))
        self.register_buffer("gain", torch.eye(n_genes))
        self.register_buffer("posterior_variance", torch.full((n_genes,), MIN_VARIANCE))
        self.register_buffer("log_correction", torch.zeros(n_genes))
        # scvi-tools looks for the device of a module among its parameters.
        start = torch.full((n_genes,), 0.0 if self.likelihood.is_count else LOG_NO_NOISE)
        self.log_theta = nn.Parameter(start, requires_grad=False)

    def posterior(
        self,
        expression: Tensor,
        batch_index: Tensor,
        cont_covs: Tensor | None,
        cat_covs: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Expression & covariates -> mean and variance of the nodes."""
        covariates = self.encode_covariates(batch_index, cont_covs, cat_covs)
        nodes = (self._without(expression, covariates) - self.center) / self.scale @ self.gain
        return nodes, self.posterior_variance.expand_as(nodes)

    def log_scale(self, nodes: Tensor, covariates: Tensor | None) -> Tensor:
        """Nodes & covariates -> log of the expected share of each gene (mean if normal)."""
        mean = self.center + self.scale * nodes
        if covariates is not None:
            mean = mean + covariates @ self.covariate_effects
        if not self.likelihood.is_count:
            return mean
        return log_rate(mean) + self.log_correction - self.median_library.log()

    def loss(self, *args: object, **kwargs: object) -> LossOutput:
        """Raise: named genes are fitted in closed form and not by an evidence bound."""
        del args, kwargs
        message = (
            "With `causal_space='genes'` there is no evidence lower bound: the model is fitted in "
            "closed form. Compare models by what they predict for held-out conditions."
        )
        raise RuntimeError(message)

    @torch.no_grad()
    def assign(self, **buffers: NDArray[np.float64]) -> None:
        """Take over fitted values, in place.

        Parameters
        ----------
        **buffers
            Values of ``center``, ``scale``, ``covariate_effects``, ``gain``,
            ``posterior_variance``, ``log_correction`` or ``log_theta``.
        """
        for name, values in buffers.items():
            getattr(self, name).copy_(torch.as_tensor(values))

    def _without(self, expression: Tensor, covariates: Tensor | None) -> Tensor:
        return (
            expression if covariates is None else expression - covariates @ self.covariate_effects
        )


def log_rate(mean: Tensor) -> Tensor:
    r"""Log rate of the Poisson counts whose log1p has a given mean.

    Parameters
    ----------
    mean
        :math:`E \log(1 + x)`, any shape; values at or below 0 give the lowest rate.

    Returns
    -------
    :math:`\log \lambda` with :math:`x \sim \mathrm{Poisson}(\lambda)`, same shape.

    Examples
    --------
    >>> log_rate(torch.log1p(torch.tensor([1e3]))).exp().round(decimals=-1)
    tensor([1000.])
    """
    table = torch.as_tensor(_mean_log1p(), dtype=mean.dtype, device=mean.device)
    rates = torch.as_tensor(LOG_RATES, dtype=mean.dtype, device=mean.device)
    place = torch.searchsorted(table, mean.contiguous()).clamp(1, len(table) - 1)
    low, high = table[place - 1], table[place]
    weight = ((mean - low) / (high - low)).clamp(0, 1)
    return rates[place - 1] + weight * (rates[place] - rates[place - 1])


@lru_cache(maxsize=1)
def _mean_log1p() -> NDArray[np.float64]:
    """Mean of log1p of Poisson counts at ``exp(LOG_RATES)``."""
    rates = np.exp(LOG_RATES)
    small = rates < LARGEST_SUMMED
    counts = np.arange(MAX_COUNT)
    summed = poisson.pmf(counts, rates[small, None]) @ np.log1p(counts)
    large = rates[~small]
    # Expansion to third order around the rate: the error is below 1e-4 from 40 on.
    expanded = np.log1p(large) - large / (2 * (1 + large) ** 2) + large / (3 * (1 + large) ** 3)
    expanded -= 3 * large**2 / (4 * (1 + large) ** 4)
    return np.concatenate([summed, expanded])
