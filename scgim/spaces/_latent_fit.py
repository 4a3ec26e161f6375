from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

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
from scgim.scm.generator._effect_kernel import compare_features
from scgim.scm.generator._effect_stack import EffectStack, kind_of
from scgim.scm.generator._perturbation_features import FeatureScaling
from scgim.spaces._direct_effects import N_CELLS, DirectEffects
from scgim.spaces._fit import Fit, read_shared_state
from scgim.spaces._generator_warnings import (
    warn_if_features_say_nothing,
    warn_if_mechanism_is_unknown,
)
from scgim.spaces._population import Population
from scgim.spaces._prediction_sources import describe_sources
from scgim.spaces._rate_scale import RateScale

if TYPE_CHECKING:
    import pandas as pd

    from scgim._types import FloatArray
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
# A gene is called a direct target if the sign of its effect is wrong with no more than this probability,
# and if it holds more than half of the squared direct effect: what follows from a target spreads over
# many genes, the target itself stands out. Chosen on the knock-outs of Papalexi 2021.
MAX_FALSE_SIGN_RATE = 0.1
MIN_TARGET_SHARE = 0.5
# So many of the most similar perturbations are named.
N_NAMED = 3
# Draws for the mean shift over a distribution over interventions.
N_SHIFT_DRAWS = 8
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
    direct
        What the seen perturbations do to genes beside what they do to nodes; ``None`` where it could
        not be told, or in models saved before scgim 0.2.
    """

    module: GIMModule
    gauge: dict[str, np.ndarray] | None = None
    direct: DirectEffects | None = None
    stack: EffectStack | None = None

    @classmethod
    def from_state(
        cls, module: GIMModule, screen: Screen, node_names: list[str], state: dict[str, Any]
    ) -> Self:
        """Rebuild what :meth:`to_state` held."""
        direct, stack = state.get("direct"), state.get("stack")
        return cls(
            module=module,
            screen=screen,
            node_names=node_names,
            gauge=state["gauge"],
            direct=None if direct is None else DirectEffects.from_dict(direct),
            stack=None if stack is None else EffectStack.from_dict(stack),
            **read_shared_state(state),
        )

    def to_state(self) -> dict[str, Any]:
        """Hold the fit as plain values, see :meth:`Fit.to_state`."""
        return {
            **super().to_state(),
            "gauge": self.gauge,
            "direct": self.direct and self.direct.to_dict(),
            "stack": self.stack and self.stack.to_dict(),
        }

    @property
    def table(self) -> InterventionTable:
        """Effects of the seen perturbations, as the module predicts with them."""
        return self.module.interventions

    @cached_property
    def interventions(self) -> InterventionFit:
        """Posterior effects of the seen perturbations, and the generator for unseen ones."""
        return estimate_interventions(self.module, self.screen, self.statistics)

    @property
    def seen_interventions(self) -> DenseInterventions:
        """What the perturbations of training are believed to do to the nodes, in their order."""
        return DenseInterventions.of_seen(self.interventions, self.table)

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
        distribution = self.seen_interventions
        if unseen:
            new = check_new_features(features, table.features, unseen)
            generator = self.require_generator()
            has_population = self.stack is not None
            warn_if_features_say_nothing(
                unseen,
                generator.p_value,
                is_informative=generator.is_informative,
                has_population=has_population,
            )
            distribution = distribution.append_unseen(new)
            is_unknown = distribution.is_unknown[-len(unseen) :]
            warn_if_mechanism_is_unknown(
                np.array(unseen)[is_unknown].tolist(), has_population=has_population
            )
        return distribution.take(np.array([place[name] for name in names], dtype=int))

    @cached_property
    def control_population(self) -> Population:
        """Control cells on which mean shifts of any intervention are computed."""
        return Population(self.module, self.statistics, n_cells=N_CELLS)

    @cached_property
    def rate_scale(self) -> RateScale:
        """Between mean shifts of expression and log folds of the rate."""
        is_count = self.module.likelihood.is_count
        return RateScale.of_population(self.control_population, is_count=is_count)

    @property
    def acts_on_genes(self) -> bool:
        """Whether interventions may hit genes: they are leaves of the graph, programs their parents."""
        return True

    @property
    def has_direct_effects(self) -> bool:
        """Whether direct effects of the seen perturbations on genes are known."""
        return self.direct is not None

    def gene_shift(self, conditions: Conditions) -> Tensor | None:
        """Direct effects on genes, added up over the perturbations of each condition.

        Those of a seen perturbation were measured. Of an unseen one they are what the nodes leave of
        the mean shift that the stack predicts.
        """
        if self.direct is None:
            return None
        distribution = cast("DenseInterventions", conditions.distribution)
        log10_dose = conditions.log10_dose
        of_entry = np.zeros((len(conditions.names), self.direct.log_fold.shape[1]), np.float32)
        seen = np.flatnonzero(distribution.is_seen)
        strength = self.direct.strength(distribution, log10_dose)
        of_entry[seen] = strength[seen, None] * self.direct.log_fold[distribution.row[seen]]
        unseen = np.flatnonzero(~distribution.is_seen)
        if self.stack is not None and len(unseen):
            of_entry[unseen] = self._left_by_nodes(distribution.take(unseen), log10_dose[unseen])
        total = np.zeros((len(conditions.obs), of_entry.shape[1]), np.float32)
        np.add.at(total, conditions.condition, of_entry)
        return torch.from_numpy(total)

    def _left_by_nodes(self, unseen: DenseInterventions, log10_dose: FloatArray) -> FloatArray:
        """Log folds that take the nodes' shift of unseen perturbations to what the stack predicts."""
        assert self.stack is not None
        draws = unseen.mean(log10_dose)[None]
        if unseen.is_uncertain.any():
            draws = unseen.sample(log10_dose, N_SHIFT_DRAWS, np.random.default_rng(0))
        causal = self.control_population.expected_shift(draws).double().numpy()
        predicted = self.stack.predict(
            self._similarity(unseen.features_of_unseen()),
            log10_dose,
            causal,
            is_far=unseen.is_far,
            is_unknown=unseen.is_unknown,
        )
        return self.rate_scale.to_log_fold(predicted) - self.rate_scale.to_log_fold(causal)

    def _similarity(self, features: FloatArray) -> FloatArray:
        """Similarity of perturbations to the seen ones, shape ``(n, n_perturbations)``."""
        seen = self.screen.seen_features
        assert seen is not None
        return compare_features(
            features, seen, FeatureScaling.fit(seen, self.screen.feature_blocks)
        )

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

    def require_direct(self) -> DirectEffects:
        """Give the direct effects, or say why this model has none."""
        if self.direct is None:
            message = (
                "This model has no direct effects on genes: it was saved by an earlier version of "
                "scgim, or no perturbation has control cells in its own context. Train it again on a "
                "screen with control cells in each batch and context."
            )
            raise RuntimeError(message)
        return self.direct

    def mechanism_share(self) -> pd.DataFrame:
        """How much of each measured effect the nodes explain, direct effects add, and is left."""
        return self.require_direct().mechanism_share.copy()

    def prediction_sources(self, names: list[str], features: pd.DataFrame | None) -> pd.DataFrame:
        """Say what the predictions of perturbations rest on, a row per perturbation and source."""
        distribution = self.interventions_of(names, features)
        unseen = np.flatnonzero(~distribution.is_seen)
        if self.stack is None or not len(unseen):
            return super().prediction_sources(names, features)
        entries = distribution.take(unseen)
        similarity = self._similarity(entries.features_of_unseen())
        kinds = kind_of(is_far=entries.is_far, is_unknown=entries.is_unknown)
        seen = np.array(self.screen.table.perturbations)
        nearest = [seen[np.argsort(-row)[:N_NAMED]].tolist() for row in similarity]
        of_unseen = {
            names[place]: (str(kind), near)
            for place, kind, near in zip(unseen, kinds, nearest, strict=True)
        }
        return describe_sources(names, of_unseen, self.stack)

    def call_gene_targets(self, perturbations: list[str]) -> dict[str, np.ndarray]:
        """Direct effects on genes, ranked in the direction that the user gave."""
        direct = self.require_direct()
        rows = [self.screen.table.perturbations.index(name) for name in perturbations]
        shift, false_sign_rate = direct.shift[rows], direct.false_sign_rate[rows]
        sign = self.screen.directions.signs(perturbations)[:, None]
        evidence = np.where(sign == 0, np.abs(shift), sign * shift)
        squared = np.maximum(evidence, 0.0) ** 2
        share = squared / np.maximum(squared.sum(1, keepdims=True), 1e-12)
        return {
            "effect": direct.log_fold[rows],
            "lower": direct.lower[rows],
            "upper": direct.upper[rows],
            "false_sign_rate": false_sign_rate,
            "evidence": evidence,
            "share": share,
            "is_target": (false_sign_rate <= MAX_FALSE_SIGN_RATE) & (share > MIN_TARGET_SHARE),
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
