from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from scgim.module import CausalModule
    from scgim.spaces._fit import Fit, ReadCells
    from scgim.spaces._graph_search import GraphSearch
    from scgim.spaces._training_statistics import TrainingStatistics


class Space(ABC):
    """A causal space: what the nodes are, which module they need, and how it is fitted.

    One class per causal space. It knows the screen but neither AnnData nor the model: cells come as
    minibatches, and what is learned goes out as a :class:`~scgim.spaces._fit.Fit`.

    Attributes
    ----------
    node_names
        Names of the nodes, in the order of the module.
    trains_weights
        Whether the module is trained by gradients before :meth:`fit`.
    """

    node_names: list[str]
    trains_weights: ClassVar[bool]

    @abstractmethod
    def make_module(self, **shared: Any) -> CausalModule:  # noqa: ANN401
        """Build the generative model of a cell from options that all spaces share."""

    @abstractmethod
    def check_train_arguments(self, search: GraphSearch | None, arguments: dict[str, Any]) -> None:
        """Raise for arguments of :meth:`GIM.train` that mean nothing here."""

    @abstractmethod
    def fit(
        self,
        module: Any,  # noqa: ANN401 - the module that this space made
        read_cells: ReadCells,
        *,
        search: GraphSearch | None = None,
        reference: TrainingStatistics | None = None,
        show_progress: bool = True,
    ) -> Fit:
        """Learn what the perturbations do, after the weights are trained where there are any."""

    @abstractmethod
    def refit(self, fit: Any, batches: Iterable[dict[str, Tensor]]) -> Fit:  # noqa: ANN401
        """Learn from given minibatches what can be learned without another search or basis."""

    @abstractmethod
    def read(self, module: Any, state: dict[str, Any]) -> Fit:  # noqa: ANN401
        """Rebuild a fit from what :meth:`Fit.to_state` held."""

    @abstractmethod
    def fix_gauge(
        self,
        fit: Any,  # noqa: ANN401 - the fit that this space made
        read_cells: ReadCells,
        *,
        n_starts: int,
        seed: int,
    ) -> Fit:
        """Choose the basis of the nodes, where it is free, and move it into the weights."""

    @abstractmethod
    def check_can_minify(self) -> None:
        """Raise where cells have no posterior that could stand for them."""

    @abstractmethod
    def check_can_map(self) -> None:
        """Raise where a fitted model cannot be mapped on new cells."""
