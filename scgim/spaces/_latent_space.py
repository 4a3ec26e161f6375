from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scgim._messages import warn
from scgim.data._feature_checks import check_new_features
from scgim.module import GIMModule, change_basis, linear_loadings, loading_sd
from scgim.scm import (
    DenseInterventions,
    Gauge,
    GaugeProblem,
    GeneratorReport,
    Intervention,
    InterventionFit,
    InterventionGenerator,
    InterventionTable,
    compute_total_effects,
    find_gauges,
    find_tied_orders,
    match_nodes,
)
from scgim.spaces._calibration import calibrate_intervals
from scgim.spaces._generator_warnings import (
    warn_if_features_say_nothing,
    warn_if_mechanism_is_unknown,
)
from scgim.spaces._global_state import one_thread
from scgim.spaces._training_statistics import TrainingStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from scgim.data import Screen
    from scgim.spaces._conditions import Conditions
    from scgim.spaces._parts import ModelParts

logger = logging.getLogger(__name__)

# At most so many other bases, and as many other orders, have a say in what is ambiguous.
MAX_NEAR_TIES = 8
# Share of ambiguous calls above which the user is warned.
MAX_AMBIGUOUS = 0.01
# Thresholds of the prototype study, in noise standard deviations.
TARGET_SHIFT = 0.75
EDGE_WEIGHT = 0.25
# A shift below this many noise standard deviations is misfit of the model, not a target.
NULL_SD = 0.25
# How far targets move beyond that, and how many nodes are targets: one or two of ten, moved by two
# to three noise standard deviations, is about what simulated World P has.
TARGET_SD = 2.0
TARGET_SHARE = 0.15
# Cells whose hidden layer tells how to move the basis into the encoder.
N_HIDDEN_CELLS = 4096
# Draws for the variance of a shift, which is then known to a tenth.
N_DRAWS = 200


class LatentSpace:
    """Programs and latent factors: minibatch training, dense shifts, and a basis to be fixed.

    Parameters
    ----------
    model
        The model.
    n_nodes
        Number of nodes, unless a program mask names them.
    options
        Arguments of :class:`~scgim.module.GIMModule` that only these spaces have.
    """

    def __init__(self, model: ModelParts, n_nodes: int, **options: Any) -> None:  # noqa: ANN401
        self._model = model
        self._options = options
        self._fit: InterventionFit | None = None
        mask = model.screen.program_mask
        self._mask = None if mask is None else torch.tensor(mask.to_numpy(np.float32))
        self.node_names = (
            [f"program_{i}" for i in range(n_nodes)] if mask is None else list(mask.columns)
        )

    def make_module(self, **shared: Any) -> GIMModule:  # noqa: ANN401
        """Build the module, see :class:`~scgim.spaces._space.Space`."""
        screen = self._model.screen
        options = dict(self._options)
        doses = screen.treated_doses
        anchors = None
        if options.pop("dose_response") == "free" and len(doses):
            anchors = torch.tensor(np.log10(doses), dtype=torch.float32)
        return GIMModule(
            n_nodes=len(self.node_names),
            n_perturbations=len(screen.table.perturbations),
            anchors=anchors,
            log10_dose_center=float(np.median(np.log10(doses))) if len(doses) else 0.0,
            causal_space=self._model.causal_space,
            program_mask=self._mask,
            n_obs=max(1, int(screen.conditions.n_cells.sum())),
            **options,
            **shared,
        )

    def train(self, options: dict[str, Any]) -> None:
        """Train on minibatches, learn features -> interventions, fix the gauge."""
        check_no_search(options.pop("search"), self._model.causal_space)
        self._model.train_minibatches(**options)

    @property
    def screen(self) -> Screen:
        """What the registry knows of the screen."""
        return self._model.screen

    @property
    def table(self) -> InterventionTable:
        """Effects of the seen perturbations, as the module predicts with them."""
        table: InterventionTable = self._model.module.interventions
        return table

    @property
    def interventions(self) -> InterventionFit:
        """Posterior effects of the seen perturbations, and the generator for unseen ones."""
        if self._fit is None:
            self._fit = self._fit_interventions()
        return self._fit

    @property
    def has_generator(self) -> bool:
        """Whether unseen perturbations can be predicted."""
        return self.interventions.generator is not None

    def learn_interventions(self, dataloader: Iterable[dict[str, Tensor]] | None) -> None:
        """Re-estimate the rows by empirical Bayes, learn the generator, calibrate intervals."""
        model = self._model
        if dataloader is None:
            dataloader = model._batches(batch_size=2048)  # noqa: SLF001
        statistics = TrainingStatistics.collect(model.module, dataloader)
        if model.reference_statistics_ is not None:
            statistics = statistics.add(TrainingStatistics.from_dict(model.reference_statistics_))
        model.statistics_ = statistics.to_dict()
        self._fit = None
        with one_thread():
            self._write_effects()
        model.calibration_ = calibrate_intervals(model)

    def fix_gauge(self, n_starts: int, seed: int) -> None:
        """Choose the basis in which programs and interventions are sparse."""
        model = self._model
        if self._mask is not None:
            logger.info("The program mask names the nodes, so their basis is left as it is.")
            return
        problem = GaugeProblem(
            loadings=linear_loadings(model.module).cpu(),
            loading_sd=loading_sd(model.module).cpu(),
            shifts=model.module.interventions.saturating_shift.detach().double().cpu(),
            n_cells=torch.as_tensor(self._effective_cells()),
        )
        with one_thread():
            gauges = find_gauges(problem, n_starts=n_starts, seed=seed)
            tied_orders = find_tied_orders(problem, gauges[0])
        best = orient(problem, gauges[0])
        near = [gauge for gauge in gauges[1:] if gauge.is_near(gauges[0])]
        near = near[:MAX_NEAR_TIES] + tied_orders[:MAX_NEAR_TIES]
        device = model.module.device
        hidden = self._encoder_hidden().to(device)
        change_basis(model.module, Gauge(best.directions.to(device), best.cost), hidden)

        rotation = best.noise_rotation.numpy()
        model.statistics_["residual"] = model.statistics_["residual"] @ rotation
        self._fit = None
        ties = [rotation.T @ gauge.directions.numpy() for gauge in near]
        n_nodes = len(rotation)
        model.gauge_ = {
            "costs": np.array([gauge.cost for gauge in gauges]),
            "near_ties": np.array(ties).reshape(-1, n_nodes, n_nodes),
            "directions": rotation.T @ best.directions.numpy(),
        }
        self._warn_if_ambiguous()

    def report_generator(self, n_permutations: int, seed: int) -> GeneratorReport:
        """Say how well features predict interventions."""
        return self.require_generator().report(n_permutations, seed)

    def require_generator(self) -> InterventionGenerator:
        """Give the generator, or say why this model has none."""
        generator = self.interventions.generator
        if generator is None:
            table = self._model.screen.table
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

    def check_can_minify(self) -> None:
        """Pass: the encoder gives every cell a posterior."""

    def check_can_map(self) -> None:
        """Allow it: new batches and perturbations have rows of their own."""

    def edge_weights(self) -> np.ndarray:
        """Weights of the edges, both ends in their noise standard deviations."""
        adjacency = self._model.module.mechanism.adjacency
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
        return self._total_effects().norm(dim=0).numpy()

    def gene_programs(self) -> np.ndarray:
        """Change of log-rates per noise sd of each node, relative to the median gene."""
        inverse = torch.linalg.inv(self._total_effects())
        loadings = linear_loadings(self._model.module).cpu() @ inverse.mT
        return (loadings - loadings.quantile(0.5, dim=0)).numpy()

    def _total_effects(self) -> Tensor:
        return compute_total_effects(self._model.module.mechanism.adjacency.detach().double().cpu())

    def _fit_interventions(self) -> InterventionFit:
        model = self._model
        table = model.module.interventions
        statistics = TrainingStatistics.from_dict(model.statistics_)
        conditions = statistics.single_perturbations(model.screen)
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
            log10_ec50=model.statistics_["trained_log10_ec50"],
            hill=float(model.statistics_["trained_hill"]),
        )
        features = model.screen.seen_features
        if features is not None:
            fit.learn_generator(features, model.screen.feature_blocks)
        return fit

    @torch.no_grad()
    def _write_effects(self) -> None:
        """Move the posterior means into the module, so that it predicts with them."""
        table, effects = self._model.module.interventions, self.interventions.effects

        def as_tensor(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=table.shift.device)

        table.shift.copy_(as_tensor(effects.shift).reshape(table.shift.shape))
        if table.anchors is None and len(self._model.screen.treated_doses):
            table.log10_ec50.copy_(as_tensor(effects.log10_ec50))
            table.set_hill(self.interventions.hill)

    def _effective_cells(self) -> np.ndarray:
        """Cells of each perturbation, weighed by the squared response at their dose."""
        statistics = self.interventions.statistics
        table = self._model.module.interventions
        index = torch.as_tensor(statistics.perturbation, device=table.shift.device)
        log10_dose = torch.as_tensor(statistics.log10_dose, dtype=torch.float32)
        with torch.no_grad():
            response = table.response(index, log10_dose.to(table.shift.device))
        strength = response.square().mean(-1).double().cpu().numpy()
        n_cells = np.ones(len(table.shift))
        np.add.at(n_cells, statistics.perturbation, statistics.n_cells * strength)
        return n_cells

    @torch.no_grad()
    def _encoder_hidden(self) -> Tensor:
        """Last hidden layer of the encoder for some cells, shape ``(n_cells, n_hidden)``."""
        model = self._model
        loader = model._batches(batch_size=1024, n_cells=N_HIDDEN_CELLS)  # noqa: SLF001
        return torch.cat([model.module.encoder_hidden(tensors).cpu() for tensors in loader])

    def _warn_if_ambiguous(self) -> None:
        targets = self._model.get_intervention_targets().ambiguous.to_numpy()
        edges = self.edge_ambiguity()
        if max(targets.mean(), edges.mean()) > MAX_AMBIGUOUS:
            n_ties = len(self._model.gauge_["near_ties"])
            warn(
                f"{int(targets.sum())} of {targets.size} target calls and {int(edges.sum())} of "
                f"{edges.size} edge calls are ambiguous: {n_ties} other bases or causal orders of "
                "the nodes fit about as well as the best one and disagree on them. Predictions are "
                "not affected. Read the column `ambiguous` of `get_intervention_targets` and "
                "`get_causal_graph('ambiguous')`, and train with other seeds before trusting these "
                "calls."
            )

    def _near_ties(self) -> list[tuple[Gauge, np.ndarray, np.ndarray]]:
        """Other good bases, with the node that matches each of ours and its sign."""
        state = getattr(self._model, "gauge_", None)
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


def orient(problem: GaugeProblem, gauge: Gauge) -> Gauge:
    """Choose the sign of each node so that its strongest genes go up."""
    loadings = problem.loadings @ torch.linalg.inv(gauge.directions).mT
    loadings = loadings - loadings.median(0)[0]
    sign = loadings.pow(3).sum(0).sign()
    return Gauge(gauge.directions * torch.where(sign == 0, 1.0, sign), gauge.cost)


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


def check_no_search(search: object, causal_space: str) -> None:
    """Raise if a graph search is asked for where the graph is not searched.

    Parameters
    ----------
    search
        What the user passed.
    causal_space
        The causal space of the model.
    """
    if search is not None:
        msg = (
            "`search` says how to find a graph of named genes, but this model has "
            f"`causal_space={causal_space!r}`. Leave it out, or build the model with "
            "`causal_space='genes'`."
        )
        raise ValueError(msg)
