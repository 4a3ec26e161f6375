from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import pandas as pd
    from torch import Tensor

    from scgim.module import CausalModule
    from scgim.scm import GeneratorReport, Intervention, InterventionDistribution
    from scgim.spaces._conditions import Conditions


class Space(Protocol):
    """Where causal spaces differ: the module, the fit, and what the fit says of interventions.

    Everything else of :class:`~scgim.model.GIM` is shared. There is one for programs and latent
    factors (:class:`~scgim.spaces._latent_space.LatentSpace`) and one for named genes
    (:class:`~scgim.spaces._genes_space.GenesSpace`).

    Attributes
    ----------
    node_names
        Names of the nodes, in the order of the module.
    """

    node_names: list[str]

    @property
    def interventions(self) -> Any:  # noqa: ANN401
        """What was learned of the seen perturbations."""

    @property
    def has_generator(self) -> bool:
        """Whether unseen perturbations can be predicted."""

    def make_module(self, **shared: Any) -> CausalModule:  # noqa: ANN401
        """Build the generative model of a cell from options that all spaces share."""

    def train(self, options: dict[str, Any]) -> None:
        """Fit; ``options`` are the arguments of :meth:`GIM.train`."""

    def learn_interventions(self, dataloader: Iterable[dict[str, Tensor]] | None) -> None:
        """Re-estimate the interventions from all cells and learn features -> interventions."""

    def fix_gauge(self, n_starts: int, seed: int) -> None:
        """Choose the basis of the nodes, where it is free."""

    def report_generator(self, n_permutations: int, seed: int) -> GeneratorReport:
        """Say how well features predict interventions."""

    def require_generator(self) -> object:
        """Raise where unseen perturbations cannot be predicted."""

    def interventions_of(
        self, names: list[str], features: pd.DataFrame | None
    ) -> InterventionDistribution:
        """Distribution over interventions of named perturbations, seen or not."""

    def blur(
        self, draws: Intervention, mean: Intervention, rng: np.random.Generator
    ) -> Intervention:
        """Add to draws of interventions what is not known of the mechanisms."""

    def call_targets(self, conditions: Conditions) -> dict[str, np.ndarray]:
        """Columns of the target table for single perturbations, ``(n_perturbations, n_nodes)`` each."""

    def check_can_minify(self) -> None:
        """Raise where cells have no posterior that could stand for them."""

    def check_can_map(self) -> None:
        """Raise where a fitted model cannot be mapped on new cells."""

    def edge_weights(self) -> np.ndarray:
        """Weights of the edges, ``[parent, child]``."""

    def edge_probability(self) -> np.ndarray:
        """Probabilities of the edges, ``[parent, child]``."""

    def edge_ambiguity(self) -> np.ndarray:
        """Whether the data leave an edge open, ``[parent, child]``."""

    def control_sd(self) -> np.ndarray:
        """Compute the sd of each node in control cells, in node units."""

    def gene_programs(self) -> np.ndarray:
        """Say what each node does to each gene, genes x nodes."""
