from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from scvi import REGISTRY_KEYS as SCVI_KEYS
from torch import Tensor

from scgim._constants import REGISTRY_KEYS

if TYPE_CHECKING:
    from scgim.module import GIMModule

N_CONTROL_CELLS = 64


class HeldOutShift:
    r"""Share of the expression shift of held-out conditions that the model predicts.

    The shift of a condition is the difference between the log of its mean normalised expression
    and that of the control, observed and predicted; the score is

    .. math:: R^2 = 1 - \sum (\hat\Delta - \Delta)^2 / \sum \Delta^2

    over genes and conditions: 1 is perfect, 0 is 'no effect'. Conditions are only ever looped
    over by tensor operations.

    Parameters
    ----------
    module
        The generative model that is scored.
    """

    def __init__(self, module: GIMModule) -> None:
        self.module = module
        self.reset()

    def reset(self) -> None:
        """Forget all cells."""
        self._keys: list[Tensor] = []
        self._sums: list[Tensor] = []
        self._counts: list[Tensor] = []
        self._control_nodes: list[Tensor] = []
        self._control_covariates: list[Tensor] = []

    def update(self, batch: dict[str, Tensor], log_library: Tensor, nodes: Tensor) -> None:
        """Add a minibatch of held-out cells.

        Parameters
        ----------
        batch
            Minibatch as the loader gives it.
        log_library
            Log total counts, shape ``(n_cells, 1)``.
        nodes
            Posterior means of the nodes, shape ``(n_cells, n_nodes)``.
        """
        labels = batch[REGISTRY_KEYS.PERTURBATION].float()
        dose = batch.get(REGISTRY_KEYS.DOSE)
        dose = torch.full_like(labels, torch.inf) if dose is None else dose.float()
        keys, index = torch.unique(torch.cat([labels, dose], 1), dim=0, return_inverse=True)
        normalised = self._share(batch[SCVI_KEYS.X_KEY], log_library)
        self._keys.append(keys)
        self._sums.append(
            normalised.new_zeros(len(keys), normalised.shape[1]).index_add(0, index, normalised)
        )
        self._counts.append(torch.bincount(index, minlength=len(keys)))
        is_control = (self.module.components[labels.squeeze(-1).long()] < 0).all(-1)
        self._control_nodes.append(nodes[is_control])
        covariates = self.module.covariates_of(batch)
        if covariates is not None:
            self._control_covariates.append(covariates[is_control])

    def compute(self) -> Tensor | None:
        """Score the cells added so far.

        Returns
        -------
        The score, shape ``()``; ``None`` where no control cell or no perturbed cell is held out.
        """
        if not self._keys:
            return None
        keys, index = torch.unique(torch.cat(self._keys), dim=0, return_inverse=True)
        sums, counts = torch.cat(self._sums), torch.cat(self._counts)
        mean = sums.new_zeros(len(keys), sums.shape[1]).index_add(0, index, sums)
        mean = mean / counts.new_zeros(len(keys)).index_add(0, index, counts).unsqueeze(-1)
        components = self.module.components[keys[:, 0].long()]
        is_control = (components < 0).all(-1)
        if is_control.all() or not is_control.any():
            return None
        log_mean = self._log(mean)
        observed = log_mean[~is_control] - log_mean[is_control].mean(0)
        predicted = self._predict(components[~is_control], keys[~is_control, 1:])
        return 1 - (predicted - observed).square().sum() / observed.square().sum()

    def _predict(self, components: Tensor, dose: Tensor) -> Tensor:
        nodes = torch.cat(self._control_nodes)[:N_CONTROL_CELLS]
        shift = self.module.interventions(components, dose.log10())
        # Adding the solved shift replays the control cells; nearly so where mechanisms bend.
        effect = self.module.mechanism.solve(shift) - self.module.mechanism.solve(shift * 0)
        replayed = torch.cat([nodes[None], nodes + effect[:, None]])
        covariates = None
        if self._control_covariates:
            covariates = torch.cat(self._control_covariates)[:N_CONTROL_CELLS]
        log_scale = self.module.decode(replayed, replayed[..., :1] * 0, covariates).log_scale
        log_mean = self._log(self.module.likelihood.scale(log_scale).mean(1))
        return log_mean[1:] - log_mean[0]

    def _share(self, expression: Tensor, log_library: Tensor) -> Tensor:
        return expression / log_library.exp() if self.module.likelihood.is_count else expression

    def _log(self, mean: Tensor) -> Tensor:
        return self.module.likelihood.encoder_input(mean, self.module.median_library)
