from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scgim.module import CausalModule, ExpectedExpression
from scgim.scm import Intervention, shift_nodes

if TYPE_CHECKING:
    from scgim.spaces._training_statistics import TrainingStatistics

# Values computed at a time: what fits into the cache of a processor, or fills an accelerator.
MAX_ELEMENTS_CPU = 500_000
MAX_ELEMENTS_ACCELERATOR = 20_000_000


class Population:
    """Cells drawn from the control once, so that shifts are compared on the same noise.

    Parameters
    ----------
    module
        Trained module.
    statistics
        What the model remembers of its training cells.
    n_cells
        Number of cells.
    seed
        Seed of the noise.
    is_member
        Which control cells may be drawn, shape ``(n_control_cells,)``; all if not given.
    """

    def __init__(
        self,
        module: CausalModule,
        statistics: TrainingStatistics,
        *,
        n_cells: int,
        seed: int = 0,
        is_member: np.ndarray | None = None,
    ) -> None:
        members = np.arange(len(statistics.control_library))
        members = members if is_member is None else members[is_member]
        rng = np.random.default_rng(seed)
        chosen = rng.choice(members, n_cells, replace=n_cells > len(members))
        device = module.device
        self._module = module
        self.library = torch.as_tensor(statistics.control_library[chosen]).float().to(device)
        self.noise = torch.as_tensor(
            rng.standard_normal((n_cells, len(module.mechanism.offset))), dtype=torch.float32
        ).to(device)
        with torch.no_grad():
            self.covariates = module.encode_covariates(
                torch.as_tensor(statistics.control_batch[chosen, None]).to(device),
                torch.as_tensor(statistics.control_continuous[chosen]).to(device),
                torch.as_tensor(statistics.control_categories[chosen]).to(device),
            )
        self._expected = ExpectedExpression(module, self.library)
        empty = shift_nodes(self.noise.new_zeros(1, self.noise.shape[1]))
        self._control = self._mean(empty)[0]

    @torch.no_grad()
    def mean_shift(self, intervention: Intervention) -> Tensor:
        """Compute the expected mean shift of expression under interventions.

        Parameters
        ----------
        intervention
            What is done to the mechanisms, tensors of shape ``(n, n_nodes)``.

        Returns
        -------
        Mean log1p(CP10k) minus that of the control, shape ``(n, n_genes)``, on the CPU.
        """
        n_genes = len(self._control)
        on_cpu = self.noise.device.type == "cpu"
        max_elements = MAX_ELEMENTS_CPU if on_cpu else MAX_ELEMENTS_ACCELERATOR
        block = max(1, max_elements // (len(self.noise) * n_genes))
        on_device = intervention.map(lambda values: values.to(self.noise))
        starts = range(0, len(on_device.shift), block)
        parts = [self._mean(on_device[start : start + block]) - self._control for start in starts]
        return torch.cat(parts).cpu()

    def spread(self, draws: Intervention) -> tuple[np.ndarray, np.ndarray]:
        """Mean shifts under draws of interventions, and how expression bends between them.

        Expression bends with the nodes, so the mean shift over possible interventions is not the
        shift under the mean intervention.

        Parameters
        ----------
        draws
            Tensors of shape ``(n_draws, n, n_nodes)``.

        Returns
        -------
        Mean shift of each draw, ``(n_draws, n, n_genes)``, and their mean less the mean shift of
        the mean over the draws, ``(n, n_genes)``.
        """
        flat = draws.map(lambda values: values.reshape(-1, values.shape[-1]))
        moved = self.mean_shift(flat).numpy().reshape(*draws.shift.shape[:2], -1)
        central = self.mean_shift(draws.map(lambda values: values.mean(0))).numpy()
        return moved, moved.mean(0) - central

    @torch.no_grad()
    def _mean(self, intervention: Intervention) -> Tensor:
        nodes = self._module.mechanism.simulate(
            self.noise,
            intervention.map(lambda values: values[:, None]),
            self._module.node_offset(self.covariates),
        )
        return self._expected(nodes, self.covariates).mean(-2)
