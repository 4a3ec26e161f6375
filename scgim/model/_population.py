from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scgim.module import ExpectedExpression, GIMModule

if TYPE_CHECKING:
    from scgim.model._training_statistics import TrainingStatistics

MAX_ELEMENTS = 20_000_000


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
        module: GIMModule,
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
        self._control = self._mean(self.noise.new_zeros(1, self.noise.shape[1]))[0]

    @torch.no_grad()
    def mean_shift(self, shift: Tensor) -> Tensor:
        """Compute the expected mean shift of expression under shift interventions.

        Parameters
        ----------
        shift
            Shift of the mechanisms, shape ``(n, n_nodes)``.

        Returns
        -------
        Mean log1p(CP10k) minus that of the control, shape ``(n, n_genes)``, on the CPU.
        """
        n_genes = len(self._control)
        block = max(1, MAX_ELEMENTS // (len(self.noise) * n_genes))
        parts = [self._mean(part) - self._control for part in shift.to(self.noise).split(block)]
        return torch.cat(parts).cpu()

    @torch.no_grad()
    def _mean(self, shift: Tensor) -> Tensor:
        exogenous = self.noise + self._module.node_offset(self.covariates) + shift[:, None]
        nodes = self._module.mechanism.solve(exogenous)
        return self._expected(nodes, self.covariates).mean(-2)
