from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from scgim.spaces._prediction_sources import describe_sources
from scgim.spaces._training_statistics import TrainingStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import pandas as pd
    from torch import Tensor

    from scgim.data import Screen
    from scgim.module import CausalModule
    from scgim.scm import GeneratorReport, Intervention, InterventionDistribution
    from scgim.spaces._conditions import Conditions

    # Minibatches of the registered cells: size of a batch, and how many cells (all for ``None``).
    ReadCells = Callable[[int, int | None], Iterable[dict[str, Tensor]]]
    Calibration = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Fit(ABC):
    """What a causal space learned from a screen, beside the weights of the module, as a value.

    A new fit is a new object: choosing another basis, or reading more cells, returns one and leaves
    the old one as it was. There is one class per way of fitting
    (:class:`~scgim.spaces._latent_fit.LatentFit`, :class:`~scgim.spaces._named_nodes_fit.NamedNodesFit`).

    Attributes
    ----------
    module
        The trained module, which predicts.
    screen
        What the registry knows of the screen.
    node_names
        Names of the nodes, in the order of the module.
    statistics
        What is remembered of the training cells.
    calibration
        Scale, floor and quantiles of intervals for ``"seen"`` and ``"unseen"`` perturbations, see
        :func:`~scgim.spaces._calibration.calibrate_intervals`.
    reference
        Statistics of the model that was mapped on these cells; ``None`` for one trained from the
        start.
    history
        Scores during a search, for ``model.history``; not part of :meth:`to_state`.
    """

    module: CausalModule
    screen: Screen
    node_names: list[str]
    statistics: TrainingStatistics
    calibration: Calibration
    reference: TrainingStatistics | None
    history: dict[str, pd.DataFrame] | None = None

    def calibrated(self, calibration: Calibration) -> Self:
        """Give the same fit with intervals of other widths; what it computed so far stays."""
        return self.with_values(calibration=calibration)

    def with_values(self, **values: Any) -> Self:  # noqa: ANN401 - any of the attributes
        """Give the same fit with other values, on which interventions do not rest: these stay."""
        fit = replace(self, **values)
        vars(fit)["interventions"] = self.interventions
        return fit

    def to_state(self) -> dict[str, Any]:
        """Hold the fit as plain dictionaries, arrays and numbers, to be saved with the model."""
        return {
            "statistics": self.statistics.to_dict(),
            "calibration": self.calibration,
            "reference": None if self.reference is None else self.reference.to_dict(),
        }

    @property
    @abstractmethod
    def interventions(self) -> Any:  # noqa: ANN401 - each way of fitting has its own
        """What was learned of the seen perturbations, and the generator for unseen ones."""

    @property
    @abstractmethod
    def has_generator(self) -> bool:
        """Whether unseen perturbations can be predicted."""

    @abstractmethod
    def require_generator(self) -> object:
        """Give what predicts interventions from features, or raise an error that says why not."""

    @abstractmethod
    def report_generator(self, n_permutations: int, seed: int) -> GeneratorReport:
        """Say how well features predict interventions."""

    @abstractmethod
    def interventions_of(
        self, names: list[str], features: pd.DataFrame | None
    ) -> InterventionDistribution:
        """Distribution over interventions of named perturbations, seen or not."""

    @abstractmethod
    def blur(
        self, draws: Intervention, mean: Intervention, rng: np.random.Generator
    ) -> Intervention:
        """Add to draws of interventions what is not known of the mechanisms."""

    @property
    def acts_on_genes(self) -> bool:
        """Whether interventions may hit genes that are not nodes of the graph."""
        return False

    @property
    def has_direct_effects(self) -> bool:
        """Whether direct effects of the seen perturbations on genes are known."""
        return False

    def gene_shift(self, conditions: Conditions) -> Tensor | None:
        """Say what interventions do to the genes themselves, beside what they do to the nodes.

        Parameters
        ----------
        conditions
            The conditions.

        Returns
        -------
        Change of the log-rate of each gene (of its mean where expression came transformed), shape
        ``(n_conditions, n_genes)``; ``None`` where nodes are all that interventions act on.
        """
        del conditions
        return None

    @abstractmethod
    def call_targets(self, conditions: Conditions) -> dict[str, np.ndarray]:
        """Columns of the target table for single perturbations, ``(n_perturbations, n_nodes)`` each."""

    def mechanism_share(self) -> pd.DataFrame:
        """How much of each measured effect nodes explain, and how much direct effects on genes."""
        message = (
            "In this causal space all effects go through the graph of named nodes, so there is nothing "
            "to divide. Shares exist with `causal_space='programs'` and 'latent'."
        )
        raise ValueError(message)

    def prediction_sources(self, names: list[str], features: pd.DataFrame | None) -> pd.DataFrame:
        """Say what the predictions of perturbations rest on, a row per perturbation and source."""
        is_seen = self.interventions_of(names, features).is_seen
        unseen = [name for name, seen in zip(names, is_seen, strict=True) if not seen]
        return describe_sources(names, dict.fromkeys(unseen, ("near", [])), None)

    def call_gene_targets(self, perturbations: list[str]) -> dict[str, np.ndarray]:
        """Columns of the table of direct targets, ``(n_perturbations, n_genes)`` each.

        Parameters
        ----------
        perturbations
            Perturbations of training.

        Returns
        -------
        ``effect, lower, upper, false_sign_rate, evidence, share, is_target``.
        """
        del perturbations
        message = (
            "In this causal space the nodes are the genes, so their targets are those of "
            "`level='nodes'`. Direct effects on genes exist with `causal_space='programs'` and "
            "'latent'."
        )
        raise ValueError(message)

    @abstractmethod
    def edge_weights(self) -> np.ndarray:
        """Weights of the edges, ``[parent, child]``."""

    @abstractmethod
    def edge_probability(self) -> np.ndarray:
        """Probabilities of the edges, ``[parent, child]``."""

    @abstractmethod
    def edge_ambiguity(self) -> np.ndarray:
        """Whether the data leave an edge open, ``[parent, child]``."""

    @abstractmethod
    def control_sd(self) -> np.ndarray:
        """Compute the sd of each node in control cells, in node units."""

    @abstractmethod
    def gene_programs(self) -> np.ndarray:
        """Say what each node does to each gene, genes x nodes."""


def read_shared_state(state: dict[str, Any]) -> dict[str, Any]:
    """Read what every fit has from what :meth:`Fit.to_state` held.

    Parameters
    ----------
    state
        What it returned.

    Returns
    -------
    Arguments of the constructor.
    """
    reference = state["reference"]
    return {
        "statistics": TrainingStatistics.from_dict(state["statistics"]),
        "calibration": state["calibration"],
        "reference": None if reference is None else TrainingStatistics.from_dict(reference),
    }
