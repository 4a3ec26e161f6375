from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scgim.module._observation import GeneProgramDecoder
from scgim.scm import Gauge, LinearMechanism, compute_total_effects

if TYPE_CHECKING:
    from scgim.module._gim_module import GIMModule

N_SURROGATE_CELLS = 2000


@torch.no_grad()
def linear_loadings(module: GIMModule) -> Tensor:
    """Compute what one unit of each noise does to the log-rate of each gene.

    Exact for gene programs; for a neural decoder it is the least-squares linear map over cells
    drawn from the model, so a gauge chosen with it is approximate.

    Parameters
    ----------
    module
        The generative model.

    Returns
    -------
    Shape ``(n_genes, n_nodes)``, float64.
    """
    effects = compute_total_effects(module.mechanism.adjacency.double())
    if isinstance(module.decoder, GeneProgramDecoder):
        return module.decoder.programs.double() @ effects.T
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(N_SURROGATE_CELLS, len(effects), generator=generator).to(effects.device)
    nodes = module.mechanism.solve(noise)
    width = module.decoder.covariate_effects.shape[1]
    covariates = nodes.new_zeros(len(nodes), width) if width else None
    logits = module.decoder(nodes, covariates).double()
    logits = logits - logits.mean(1, keepdim=True)
    solution: Tensor = torch.linalg.lstsq(noise.double(), logits - logits.mean(0)).solution
    return solution.T


@torch.no_grad()
def loading_sd(module: GIMModule) -> Tensor:
    """Estimate the standard error of each gene's loadings, the same in all noise directions.

    From the Fisher information of all cells on the output of the decoder, the noise having unit
    variance.

    Parameters
    ----------
    module
        Trained module.

    Returns
    -------
    Shape ``(n_genes,)``, float64.
    """
    share = torch.softmax(module.decoder.intercept.double(), 0)
    mean = share * module.median_library.double()
    information = module.likelihood.information(mean, module.log_theta.double())
    return (module.n_obs * information).rsqrt()


@torch.no_grad()
def change_basis(module: GIMModule, gauge: Gauge, hidden: Tensor) -> None:
    r"""Move a change of basis into the weights, in place, so that no prediction changes.

    With new nodes :math:`z' = zN`, loadings become :math:`WN^{-\top}` and the mean head of the
    encoder :math:`N^\top V`; noise, offsets and shifts are rotated. Only the posterior
    variance is refitted, since the variance of a rotated diagonal Gaussian is not diagonal.

    Parameters
    ----------
    module
        The generative model.
    gauge
        The new basis, in terms of the present noise.
    hidden
        Last hidden layer of the encoder for some cells, shape ``(n_cells, n_hidden)``, on which
        the variance head is refitted.
    """
    assert isinstance(module.mechanism, LinearMechanism), "only linear mechanisms have a free basis"
    rotation = gauge.noise_rotation.double()
    adjacency = module.mechanism.adjacency.double()
    identity = torch.eye(len(adjacency), dtype=adjacency.dtype, device=adjacency.device)
    nodes = (identity - adjacency) @ gauge.node_change.double()
    inverse = torch.linalg.inv(nodes)

    _refit_variance(module, nodes, hidden)
    for head in (module.encoder.mean, module.encoder.linear_path):
        _assign(head.weight, nodes.T @ head.weight.double())
        _assign(head.bias, head.bias.double() @ nodes)
    _assign(module.decoder.loadings, module.decoder.loadings.double() @ inverse.T)
    if module.protein_decoder is not None:
        loadings = module.protein_decoder.linear.loadings
        _assign(loadings, loadings.double() @ inverse.T)
    if module.dropout_head is not None:
        logits = module.dropout_head.weight
        _assign(logits, logits.double() @ inverse.T)
    _assign(module.mechanism.weight, gauge.adjacency.double())
    _assign(module.mechanism.offset, module.mechanism.offset.double() @ rotation)
    _assign(module.interventions.shift, module.interventions.shift.double() @ rotation)
    if module.node_covariate_effects is not None:
        effects = module.node_covariate_effects
        _assign(effects, rotation.T @ effects.double())


def _refit_variance(module: GIMModule, nodes: Tensor, hidden: Tensor) -> None:
    head = module.encoder.log_variance
    variance = head(hidden).clamp(-8, 3).exp().double()
    target = (variance @ nodes.square()).log()
    design = torch.cat([hidden.double(), torch.ones_like(hidden[:, :1]).double()], 1)
    ridge = (
        1e-3 * len(design) * torch.eye(design.shape[1], dtype=design.dtype, device=design.device)
    )
    ridge[-1, -1] = 0
    solution = torch.linalg.solve(design.T @ design + ridge, design.T @ target)
    _assign(head.weight, solution[:-1].T)
    _assign(head.bias, solution[-1])


def _assign(parameter: Tensor, value: Tensor) -> None:
    parameter.copy_(value.to(parameter.dtype))
