from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from scgim.data._feature_checks import check_new_features
from scgim.scm import (
    GeneratorReport,
    Intervention,
    MechanismUncertainty,
    NamedNodeModel,
    SparseInterventions,
    TargetPredictor,
    shift_nodes,
)
from scgim.scm.generator._sparse_interventions import of_unseen_perturbations
from scgim.spaces._fit import Fit, read_shared_state
from scgim.spaces._generator_warnings import warn_if_targets_are_guessed
from scgim.spaces._named_nodes_state import unpack, unpack_interventions

if TYPE_CHECKING:
    import pandas as pd

    from scgim.data import Screen
    from scgim.module import NamedNodeModule
    from scgim.spaces._conditions import Conditions

# With fewer, leaving one out leaves nothing to learn targets from.
MIN_PERTURBATIONS = 4
# A call with a probability between these is called ambiguous.
AMBIGUOUS = (0.1, 0.9)
# Up to this permutation p value features are taken to say something; the smallest is 1 / 200.
MAX_P_VALUE = 0.05
N_PERMUTATIONS = 199


@dataclass(frozen=True, kw_only=True)
class NamedNodesFit(Fit):
    """What was learned of named genes: a searched graph, sparse targets, their dose responses.

    Attributes
    ----------
    module
        The fitted module.
    named_nodes
        Graph, mechanisms, targets and scores as plain values: ``"model"``
        (:func:`~scgim.spaces._named_nodes_state.pack`), ``"interventions"`` of the seen perturbations,
        ``"mechanism_uncertainty"``, ``"kinds"``, ``"scores"``, ``"is_called"``, ``"explained"``, ``"uses_graph"``
        and ``"edge_probability"``.
    """

    module: NamedNodeModule
    named_nodes: dict[str, Any]

    @classmethod
    def from_state(
        cls, module: NamedNodeModule, screen: Screen, node_names: list[str], state: dict[str, Any]
    ) -> Self:
        """Rebuild what :meth:`to_state` held."""
        shared = read_shared_state(state)
        return cls(
            module=module,
            screen=screen,
            node_names=node_names,
            named_nodes=state["named_nodes"],
            **shared,
        )

    def to_state(self) -> dict[str, Any]:
        """Hold the fit as plain values, see :meth:`Fit.to_state`."""
        return {**super().to_state(), "named_nodes": self.named_nodes}

    @cached_property
    def interventions(self) -> NamedNodeModel:
        """Graph, targets and generator."""
        return unpack(self.named_nodes["model"], self.module.mechanism)

    @property
    def has_generator(self) -> bool:
        """Whether unseen perturbations can be predicted."""
        return self.interventions.predictor is not None

    def require_generator(self) -> TargetPredictor:
        """Give what predicts targets from features, or say why this model cannot."""
        predictor = self.interventions.predictor
        if predictor is None:
            table = self.screen.table
            reason = (
                "no `features_key` was given to `GIM.setup_anndata`"
                if table.features is None
                else f"fewer than {MIN_PERTURBATIONS} perturbations were run alone or none has a "
                "target"
            )
            message = (
                f"This model cannot predict unseen perturbations: {reason}. Register a screen "
                "with perturbation features and train again."
            )
            raise RuntimeError(message)
        return predictor

    def report_generator(self, n_permutations: int, seed: int) -> GeneratorReport:
        """Say how well features predict targets, by leaving perturbations out."""
        predictor = self.require_generator()
        p_value = predictor.permutation_p_value(
            self.interventions.structure.is_target, n_permutations, np.random.default_rng(seed)
        )
        return GeneratorReport(
            left_out_r2={"targets": 1 - predictor.left_out_error},
            weights={"targets": 1.0},
            far_weights={"targets": 1.0},
            feature_use=max(1 - predictor.left_out_error, 0.0),
            p_value=p_value,
            is_informative=p_value <= MAX_P_VALUE,
        )

    def interventions_of(
        self, names: list[str], features: pd.DataFrame | None
    ) -> SparseInterventions:
        """Sparse interventions of named perturbations, from the screen or from their features."""
        table = self.screen.table
        place = {name: row for row, name in enumerate(table.perturbations)}
        unseen = sorted(set(names) - set(place))
        distribution = unpack_interventions(self.named_nodes)
        if unseen:
            new = check_new_features(features, table.features, unseen)
            warn_if_targets_are_guessed(unseen, self._p_value, MAX_P_VALUE)
            distribution = distribution.append(of_unseen_perturbations(self.interventions, new))
        place |= {name: len(place) + row for row, name in enumerate(unseen)}
        return distribution.take(np.array([place[name] for name in names], dtype=int))

    @cached_property
    def _p_value(self) -> float:
        """How often permuted features predict targets as well."""
        return self.report_generator(N_PERMUTATIONS, 0).p_value

    def blur(
        self, draws: Intervention, mean: Intervention, rng: np.random.Generator
    ) -> Intervention:
        """Move each node by what its mechanism may make of the shifts of its parents."""
        mechanism = self.module.mechanism
        empty = torch.zeros(len(self.node_names), device=mechanism.offset.device)
        on_device = mean.map(lambda values: values.to(empty))
        moved = mechanism.simulate(empty, on_device) - mechanism.simulate(empty, shift_nodes(empty))
        known = MechanismUncertainty(**self.named_nodes["mechanism_uncertainty"])
        sd = torch.as_tensor(np.sqrt(known.variance(moved.double().cpu().numpy())))
        noise = torch.as_tensor(rng.standard_normal(draws.shift.shape)) * sd
        return draws.moved_by(noise * (1 - draws.is_cut))

    def call_targets(self, conditions: Conditions) -> dict[str, np.ndarray]:
        """Targets with their probability, and whether they are shifted or set."""
        believed, member = conditions.distribution, conditions.condition
        assert isinstance(believed, SparseInterventions)
        shape = (len(conditions.obs), len(self.node_names))
        probability, evidence = np.ones(shape), np.full(shape, -np.inf)
        np.multiply.at(probability, member, 1 - believed.target_probability)
        np.maximum.at(evidence, member, believed.evidence)
        kind_index = np.full(shape, -1)
        chosen = np.where(self._is_called(conditions), believed.kind_index, -1)
        np.maximum.at(kind_index, member, chosen)
        probability = 1 - probability
        is_target = kind_index >= 0
        is_close = (probability > AMBIGUOUS[0]) & (probability < AMBIGUOUS[1])
        kinds = [*self.named_nodes["kinds"], ""]
        columns = {
            "probability": probability,
            "evidence": np.where(np.isfinite(evidence), evidence, 0.0),
            "is_target": is_target,
            # The probability is averaged over all good graphs.
            "ambiguous": is_close | (is_target != (probability > 0.5)),
            "kind": np.array(kinds, dtype=object)[kind_index],
        }
        scores = self.named_nodes["scores"]
        known = {name: row for row, name in enumerate(self.screen.table.perturbations)}
        index = [known.get(label, -1) for label in conditions.obs.iloc[:, 0]]
        for name, values in scores.items():
            columns[name] = np.vstack([values, np.full(shape[1], np.nan)])[index]
        return columns

    def _is_called(self, conditions: Conditions) -> np.ndarray:
        """Whether each node is called a target of each entry, ``(n_entries, n_nodes)``."""
        believed = conditions.distribution
        assert isinstance(believed, SparseInterventions)
        is_called: np.ndarray = believed.probability > 0.5
        # Models of scgim 0.1 call what they predict with.
        of_seen = self.named_nodes.get("is_called")
        if of_seen is None:
            return is_called
        place = {name: row for row, name in enumerate(self.screen.table.perturbations)}
        row = np.array([place.get(name, -1) for name in conditions.names], dtype=int)
        return np.where((row >= 0)[:, None], np.asarray(of_seen)[row], is_called)

    def edge_weights(self) -> np.ndarray:
        """Weights of the edges between standardised genes; mean slopes of neural mechanisms."""
        adjacency = self.module.mechanism.adjacency
        return adjacency.detach().cpu().numpy().astype(np.float64)

    def edge_probability(self) -> np.ndarray:
        """Probabilities of the edges, from resampled searches or from the score."""
        return self.named_nodes["edge_probability"]

    def edge_ambiguity(self) -> np.ndarray:
        """Whether graphs that explain the screen about as well disagree on an edge."""
        probability = self.edge_probability()
        return (probability > AMBIGUOUS[0]) & (probability < AMBIGUOUS[1])

    def control_sd(self) -> np.ndarray:
        """Nodes are standardised by control cells."""
        return np.ones(len(self.node_names))

    def gene_programs(self) -> np.ndarray:
        """Each gene is its own program."""
        return np.eye(len(self.node_names))
