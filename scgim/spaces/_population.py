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
    def mean_shift(self, intervention: Intervention, gene_shift: Tensor | None = None) -> Tensor:
        """Compute the expected mean shift of expression under interventions.

        Parameters
        ----------
        intervention
            What is done to the mechanisms, tensors of shape ``(n, n_nodes)``.
        gene_shift
            What is done to the genes themselves, on the scale of their log-rates, shape
            ``(n, n_genes)``; ``None`` for nothing.

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
        parts = [
            self._mean(
                on_device[start : start + block],
                None if gene_shift is None else gene_shift[start : start + block],
            )
            - self._control
            for start in starts
        ]
        return torch.cat(parts).cpu()

    def expected_shift(self, draws: Intervention) -> Tensor:
        """Compute the mean shift over a distribution over interventions, from draws.

        Parameters
        ----------
        draws
            Tensors of shape ``(n_draws, n, n_nodes)``.

        Returns
        -------
        Mean shift of expression, shape ``(n, n_genes)``, on the CPU.
        """
        return torch.stack(
            [self.mean_shift(draws[number]) for number in range(len(draws.shift))]
        ).mean(0)

    @torch.no_grad()
    def rate_curves(self, log_fold: Tensor) -> Tensor:
        """Compute the mean shift of every gene if its rate, and nothing else, is multiplied.

        Parameters
        ----------
        log_fold
            Natural log of the factor, shape ``(n,)``; what is added where expression is transformed.

        Returns
        -------
        Mean shift of expression, shape ``(n, n_genes)``, on the CPU.
        """
        empty = shift_nodes(self.noise.new_zeros(1, self.noise.shape[1]))
        nodes = self._nodes(empty)
        expression = self._module.decode(nodes, nodes[..., :1] * 0, self.covariates)
        moved = [
            self._expected.of(expression._replace(log_scale=expression.log_scale + fold)).mean(-2)
            for fold in log_fold.to(self.noise)
        ]
        return (torch.cat(moved) - self._control).cpu()

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
    def _mean(self, intervention: Intervention, gene_shift: Tensor | None = None) -> Tensor:
        nodes = self._nodes(intervention)
        of_cells = None if gene_shift is None else gene_shift[:, None]
        return self._expected(nodes, self.covariates, of_cells).mean(-2)

    def _nodes(self, intervention: Intervention) -> Tensor:
        """Nodes of the cells under interventions, shape ``(n, n_cells, n_nodes)``."""
        return self._module.mechanism.simulate(
            self.noise,
            intervention.map(lambda values: values[:, None]),
            self._module.node_offset(self.covariates),
        )
