from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from scgim.data._feature_checks import check_new_features
from scgim.module import GIMModule, linear_loadings
from scgim.scm import (
    DenseInterventions,
    Gauge,
    GeneratorReport,
    Intervention,
    InterventionFit,
    InterventionGenerator,
    InterventionTable,
    compute_total_effects,
    match_nodes,
)
from scgim.spaces._fit import Fit, read_shared_state
from scgim.spaces._generator_warnings import (
    warn_if_features_say_nothing,
    warn_if_mechanism_is_unknown,
)

if TYPE_CHECKING:
    import pandas as pd

    from scgim.data import Screen
    from scgim.spaces._conditions import Conditions
    from scgim.spaces._training_statistics import TrainingStatistics

# Thresholds of the prototype study, in noise standard deviations.
TARGET_SHIFT = 0.75
EDGE_WEIGHT = 0.25
# A shift below this many noise standard deviations is misfit of the model, not a target.
NULL_SD = 0.25
# How far targets move beyond that, and how many nodes are targets: one or two of ten, moved by two
# to three noise standard deviations, is about what simulated World P has.
TARGET_SD = 2.0
TARGET_SHARE = 0.15
# Cells drawn for the sd of a node, which is then known to 2 %, where there is no closed form.
N_CONTROL_CELLS = 1000
# Draws for the variance of a shift, which is then known to a tenth.
N_DRAWS = 200


@dataclass(frozen=True, kw_only=True)
class LatentFit(Fit):
    """What was learned of programs or latent factors: dense effects, and the basis that was chosen.

    Attributes
    ----------
    module
        The trained module; its table of interventions has the posterior means.
    gauge
        ``"costs"`` of the bases that were found, ``"directions"`` of the chosen one, and
        ``"near_ties"``, the directions of those that are as good, shape
        ``(n_ties, n_nodes, n_nodes)``; ``None`` where no basis was chosen.
    """

    module: GIMModule
    gauge: dict[str, np.ndarray] | None = None

    @classmethod
    def from_state(
        cls, module: GIMModule, screen: Screen, node_names: list[str], state: dict[str, Any]
    ) -> Self:
        """Rebuild what :meth:`to_state` held."""
        shared = read_shared_state(state)
        return cls(
            module=module, screen=screen, node_names=node_names, gauge=state["gauge"], **shared
        )

    def to_state(self) -> dict[str, Any]:
        """Hold the fit as plain values, see :meth:`Fit.to_state`."""
        return {**super().to_state(), "gauge": self.gauge}

    @property
    def table(self) -> InterventionTable:
        """Effects of the seen perturbations, as the module predicts with them."""
        return self.module.interventions

    @cached_property
    def interventions(self) -> InterventionFit:
        """Posterior effects of the seen perturbations, and the generator for unseen ones."""
        return estimate_interventions(self.module, self.screen, self.statistics)

    @property
    def has_generator(self) -> bool:
        """Whether unseen perturbations can be predicted."""
        return self.interventions.generator is not None

    def report_generator(self, n_permutations: int, seed: int) -> GeneratorReport:
        """Say how well features predict interventions."""
        return self.require_generator().report(n_permutations, seed)

    def require_generator(self) -> InterventionGenerator:
        """Give the generator, or say why this model has none."""
        generator = self.interventions.generator
        if generator is None:
            table = self.screen.table
            reason = (
                "no `features_key` was given to `GIM.setup_anndata`"
                if table.features is None
                else (
                    f"the screen has only {len(table.perturbations)} perturbations and at least 4 "
                    "are needed"
                )
            )
            message = (
                f"This model cannot predict unseen perturbations: {reason}. Register a screen "
                "with perturbation features and train again."
            )
            raise RuntimeError(message)
        return generator

    def interventions_of(
        self, names: list[str], features: pd.DataFrame | None
    ) -> DenseInterventions:
        """Dense shifts of named perturbations, from training or from their features."""
        table = self.screen.table
        unseen = sorted(set(names) - set(table.perturbations))
        place = {name: entry for entry, name in enumerate([*table.perturbations, *unseen])}
        distribution = DenseInterventions.of_seen(self.interventions, self.table)
        if unseen:
            new = check_new_features(features, table.features, unseen)
            generator = self.require_generator()
            warn_if_features_say_nothing(
                unseen, generator.p_value, is_informative=generator.is_informative
            )
            distribution = distribution.append_unseen(new)
            is_unknown = distribution.is_unknown[-len(unseen) :]
            warn_if_mechanism_is_unknown(np.array(unseen)[is_unknown].tolist())
        return distribution.take(np.array([place[name] for name in names], dtype=int))

    def blur(
        self, draws: Intervention, mean: Intervention, rng: np.random.Generator
    ) -> Intervention:
        """Add nothing: many cells and few nodes leave little of the mechanisms open."""
        del mean, rng
        return draws

    def call_targets(self, conditions: Conditions) -> dict[str, np.ndarray]:
        r"""Compare 'target' with 'no target' for a shift known with some variance.

        A shift :math:`s` with variance :math:`v` is compared under 'target',
        :math:`N(0, v + \tau_0^2 + \tau_1^2)`, and 'no target', :math:`N(0, v + \tau_0^2)`, with
        :math:`\tau_0 = 0.25`, :math:`\tau_1 = 2` noise standard deviations and a prior of 0.15.
        """
        shift = conditions.intervention().shift.numpy()
        draws = conditions.draw(N_DRAWS, np.random.default_rng(0)).shift.numpy()
        null = draws.var(0) + NULL_SD**2
        log_odds = np.log(TARGET_SHARE / (1 - TARGET_SHARE)) + log_bayes_factor(shift, null)
        probability = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
        return {
            "probability": probability,
            "evidence": shift**2 / null / 2,
            "is_target": (np.abs(shift) > TARGET_SHIFT) & (probability > 0.5),
            "ambiguous": self._disagreement(shift),
        }

    def edge_weights(self) -> np.ndarray:
        """Weights of the edges, both ends in their noise standard deviations."""
        adjacency = self.module.mechanism.adjacency
        return adjacency.detach().cpu().numpy().astype(np.float64)

    def edge_probability(self) -> np.ndarray:
        """Share of the equally good bases and causal orders in which the edge is above 0.25."""
        calls = [np.abs(self.edge_weights()) > EDGE_WEIGHT]
        for tie, index, _ in self._near_ties():
            calls.append(np.abs(tie.adjacency.numpy())[np.ix_(index, index)] > EDGE_WEIGHT)
        return np.mean(calls, axis=0)

    def edge_ambiguity(self) -> np.ndarray:
        """Whether equally good bases and causal orders disagree on an edge."""
        probability = self.edge_probability()
        return (probability > 0) & (probability < 1)

    def control_sd(self) -> np.ndarray:
        """Compute the sd of each node in control cells, in its noise standard deviations."""
        mechanism = self.module.mechanism
        if mechanism.is_linear:
            return self._total_effects().norm(dim=0).numpy()
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(N_CONTROL_CELLS, len(self.node_names), generator=generator)
        with torch.no_grad():
            return mechanism.solve(noise.to(mechanism.offset)).std(0).double().cpu().numpy()

    def gene_programs(self) -> np.ndarray:
        """Change of log-rates per noise sd of each node, relative to the median gene."""
        inverse = torch.linalg.inv(self._total_effects())
        loadings = linear_loadings(self.module).cpu() @ inverse.mT
        return (loadings - loadings.quantile(0.5, dim=0)).numpy()

    def _total_effects(self) -> Tensor:
        return compute_total_effects(self.module.mechanism.adjacency.detach().double().cpu())

    def target_ambiguity(self) -> np.ndarray:
        """Whether equally good bases disagree on a target of a seen perturbation."""
        return self._disagreement(self.table.saturating_shift.detach().double().cpu().numpy())

    def _near_ties(self) -> list[tuple[Gauge, np.ndarray, np.ndarray]]:
        """Other good bases, with the node that matches each of ours and its sign."""
        state = self.gauge
        if state is None:
            return []
        ours = Gauge(torch.as_tensor(state["directions"]), 0.0)
        ties = [Gauge(torch.as_tensor(directions), 0.0) for directions in state["near_ties"]]
        matches = [match_nodes(ours, tie) for tie in ties]
        return [
            (tie, index.numpy(), sign.numpy())
            for tie, (index, sign) in zip(ties, matches, strict=True)
        ]

    def _disagreement(self, shift: np.ndarray) -> np.ndarray:
        """Whether another good basis calls a target differently, shape of ``shift``."""
        disagrees = np.zeros(shift.shape, bool)
        for tie, index, _ in self._near_ties():
            other = np.abs(shift @ tie.noise_rotation.numpy())[:, index] > TARGET_SHIFT
            disagrees |= other != (np.abs(shift) > TARGET_SHIFT)
        return disagrees


def estimate_interventions(
    module: GIMModule, screen: Screen, statistics: TrainingStatistics
) -> InterventionFit:
    """Re-estimate the effects by empirical Bayes, and learn features -> effects.

    Parameters
    ----------
    module
        Trained module, whose curves stay.
    screen
        What the registry knows of the screen.
    statistics
        What the cells of each condition say.

    Returns
    -------
    Posterior effects, and the generator where there are features.
    """
    table = module.interventions
    conditions = statistics.single_perturbations(screen)
    response = None
    if table.anchors is not None:
        index = torch.as_tensor(conditions.perturbation, device=table.anchors.device)
        log10_dose = torch.as_tensor(conditions.log10_dose, dtype=torch.float32)
        with torch.no_grad():
            curves = table.response(index, log10_dose.to(table.anchors.device))
        response = curves.double().cpu().numpy()
    fit = InterventionFit(
        conditions,
        response=response,
        shift=table.shift.detach().double().cpu().numpy().reshape(len(table.shift), -1),
        log10_ec50=statistics.trained_log10_ec50,
        hill=float(statistics.trained_hill),
    )
    if screen.seen_features is not None:
        fit.learn_generator(screen.seen_features, screen.feature_blocks)
    return fit


def log_bayes_factor(shift: np.ndarray, null_variance: np.ndarray) -> np.ndarray:
    """Log evidence for a target over none, in nats.

    Parameters
    ----------
    shift
        Estimated shifts, in noise standard deviations.
    null_variance
        Their variance if there is no target, same shape.

    Returns
    -------
    Same shape.
    """
    total = null_variance + TARGET_SD**2
    return 0.5 * (np.log(null_variance / total) + shift**2 * (1 / null_variance - 1 / total))
