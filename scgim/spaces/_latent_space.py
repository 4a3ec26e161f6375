from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scgim._messages import warn
from scgim.module import GIMModule, change_basis, linear_loadings, loading_sd
from scgim.scm import Gauge, GaugeProblem, LinearMechanism, find_gauges, find_tied_orders
from scgim.spaces._calibration import calibrate_intervals
from scgim.spaces._gene_effects import learn_gene_effects
from scgim.spaces._global_state import one_thread
from scgim.spaces._latent_fit import LatentFit
from scgim.spaces._space import Space
from scgim.spaces._training_statistics import TrainingStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scgim.data import Screen
    from scgim.module import CausalSpace
    from scgim.scm import Mechanism
    from scgim.spaces._fit import ReadCells
    from scgim.spaces._graph_search import GraphSearch

logger = logging.getLogger(__name__)

# At most so many other bases, and as many other orders, have a say in what is ambiguous.
MAX_NEAR_TIES = 8
# Share of ambiguous calls above which the user is warned.
MAX_AMBIGUOUS = 0.01
# Cells drawn from the model over which slopes of mechanisms are averaged.
N_SLOPE_CELLS = 1000
# Cells whose hidden layer tells how to move the basis into the encoder.
N_HIDDEN_CELLS = 4096


class LatentSpace(Space):
    """Programs and latent factors: minibatch training, dense shifts, and a basis to be fixed.

    Parameters
    ----------
    screen
        What the registry knows of the screen.
    causal_space
        ``"programs"`` or ``"latent"``.
    n_nodes
        Number of nodes, unless a program mask names them.
    module_class
        :class:`~scgim.module.GIMModule` or a subclass.
    options
        Its arguments that only these spaces have.
    """

    trains_weights = True

    def __init__(
        self,
        screen: Screen,
        causal_space: CausalSpace,
        n_nodes: int,
        *,
        module_class: type[GIMModule] = GIMModule,
        **options: Any,  # noqa: ANN401
    ) -> None:
        self._screen, self._causal_space = screen, causal_space
        self._module_class, self._options = module_class, options
        mask = screen.program_mask
        mechanism = options.get("mechanism_class", LinearMechanism)
        if mask is None or causal_space != "programs":
            check_basis_may_be_free(mechanism, causal_space)
        self._mask = None if mask is None else torch.tensor(mask.to_numpy(np.float32))
        self.node_names = (
            [f"program_{i}" for i in range(n_nodes)] if mask is None else list(mask.columns)
        )

    def make_module(self, **shared: Any) -> GIMModule:  # noqa: ANN401
        """Build the module, see :class:`~scgim.spaces._space.Space`."""
        options = dict(self._options)
        doses = self._screen.treated_doses
        anchors = None
        if options.pop("dose_response") == "free" and len(doses):
            anchors = torch.tensor(np.log10(doses), dtype=torch.float32)
        return self._module_class(
            n_nodes=len(self.node_names),
            n_perturbations=len(self._screen.table.perturbations),
            anchors=anchors,
            log10_dose_center=float(np.median(np.log10(doses))) if len(doses) else 0.0,
            causal_space=self._causal_space,
            program_mask=self._mask,
            n_obs=max(1, int(self._screen.conditions.n_cells.sum())),
            **options,
            **shared,
        )

    def check_train_arguments(
        self,
        search: GraphSearch | None,
        arguments: dict[str, Any],
    ) -> None:
        """Raise for a graph search: these graphs are found in the basis."""
        del arguments
        check_no_search(search, self._causal_space)

    def fit(
        self,
        module: GIMModule,
        read_cells: ReadCells,
        *,
        search: GraphSearch | None = None,
        reference: TrainingStatistics | None = None,
        show_progress: bool = True,
    ) -> LatentFit:
        """Re-estimate the effects from all cells, learn the generator, calibrate intervals.

        The posterior means are written into ``module``, which predicts with them.
        """
        del search, show_progress
        return self._fit_batches(module, read_cells(2048, None), reference)

    def refit(self, fit: LatentFit, batches: Iterable[dict[str, Tensor]]) -> LatentFit:
        """As :meth:`fit` from given minibatches; the basis stays."""
        again = self._fit_batches(fit.module, batches, fit.reference)
        return replace(again, gauge=fit.gauge)

    def read(self, module: GIMModule, state: dict[str, Any]) -> LatentFit:
        """Rebuild a saved fit."""
        return LatentFit.from_state(module, self._screen, self.node_names, state)

    def _fit_batches(
        self,
        module: GIMModule,
        batches: Iterable[dict[str, Tensor]],
        reference: TrainingStatistics | None,
    ) -> LatentFit:
        if not module.mechanism.is_linear:
            _describe(module)
        statistics = TrainingStatistics.collect(module, batches)
        if reference is not None:
            statistics = statistics.add(reference)
        fit = LatentFit(
            module=module,
            screen=self._screen,
            node_names=self.node_names,
            statistics=statistics,
            calibration={},
            reference=reference,
        )
        with one_thread():
            _write_effects(fit)
            fit, left_out = learn_gene_effects(fit)
        return fit.calibrated(calibrate_intervals(fit, left_out))

    def fix_gauge(
        self, fit: LatentFit, read_cells: ReadCells, *, n_starts: int, seed: int
    ) -> LatentFit:
        """Choose the basis in which programs and interventions are sparse, and move it into the weights."""
        if self._mask is not None:
            logger.info("The program mask names the nodes, so their basis is left as it is.")
            return fit
        module = fit.module
        problem = GaugeProblem(
            loadings=linear_loadings(module).cpu(),
            loading_sd=loading_sd(module).cpu(),
            shifts=module.interventions.saturating_shift.detach().double().cpu(),
            n_cells=torch.as_tensor(_effective_cells(fit)),
        )
        with one_thread():
            gauges = find_gauges(problem, n_starts=n_starts, seed=seed)
            tied_orders = find_tied_orders(problem, gauges[0])
        best = orient(problem, gauges[0])
        near = [gauge for gauge in gauges[1:] if gauge.is_near(gauges[0])]
        near = near[:MAX_NEAR_TIES] + tied_orders[:MAX_NEAR_TIES]
        hidden = _encoder_hidden(module, read_cells).to(module.device)
        change_basis(module, Gauge(best.directions.to(module.device), best.cost), hidden)

        rotation = best.noise_rotation.numpy()
        ties = [rotation.T @ gauge.directions.numpy() for gauge in near]
        n_nodes = len(rotation)
        fit = replace(
            fit,
            statistics=replace(fit.statistics, residual=fit.statistics.residual @ rotation),
            gauge={
                "costs": np.array([gauge.cost for gauge in gauges]),
                "near_ties": np.array(ties).reshape(-1, n_nodes, n_nodes),
                "directions": rotation.T @ best.directions.numpy(),
            },
        )
        _warn_if_ambiguous(fit)
        return fit

    def check_can_minify(self) -> None:
        """Pass: the encoder gives every cell a posterior."""

    def check_can_map(self) -> None:
        """Allow it: new batches and perturbations have rows of their own."""


@torch.no_grad()
def _write_effects(fit: LatentFit) -> None:
    """Move the posterior means into the module, so that it predicts with them."""
    table, effects = fit.table, fit.interventions.effects

    def as_tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=table.shift.device)

    table.shift.copy_(as_tensor(effects.shift).reshape(table.shift.shape))
    if table.anchors is None and len(fit.screen.treated_doses):
        table.log10_ec50.copy_(as_tensor(effects.log10_ec50))
        table.set_hill(fit.interventions.hill)


def _effective_cells(fit: LatentFit) -> np.ndarray:
    """Cells of each perturbation, weighed by the squared response at their dose."""
    statistics, table = fit.interventions.statistics, fit.table
    index = torch.as_tensor(statistics.perturbation, device=table.shift.device)
    log10_dose = torch.as_tensor(statistics.log10_dose, dtype=torch.float32)
    with torch.no_grad():
        response = table.response(index, log10_dose.to(table.shift.device))
    strength = response.square().mean(-1).double().cpu().numpy()
    n_cells = np.ones(len(table.shift))
    np.add.at(n_cells, statistics.perturbation, statistics.n_cells * strength)
    return n_cells


@torch.no_grad()
def _encoder_hidden(module: GIMModule, read_cells: ReadCells) -> Tensor:
    """Last hidden layer of the encoder for some cells, shape ``(n_cells, n_hidden)``."""
    batches = read_cells(1024, N_HIDDEN_CELLS)
    return torch.cat([module.encoder_hidden(tensors).cpu() for tensors in batches])


@torch.no_grad()
def _describe(module: GIMModule) -> None:
    """Read edge weights off cells drawn from the causal model, where they are no parameters."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(N_SLOPE_CELLS, len(module.mechanism.offset), generator=generator)
    module.mechanism.describe(module.mechanism.solve(noise.to(module.device)))


def _warn_if_ambiguous(fit: LatentFit) -> None:
    targets, edges = fit.target_ambiguity(), fit.edge_ambiguity()
    if max(targets.mean(), edges.mean()) > MAX_AMBIGUOUS:
        assert fit.gauge is not None
        found = " and ".join(
            f"{int(calls.sum())} of {calls.size} {kind} calls"
            for kind, calls in (("target", targets), ("edge", edges))
            if calls.any()
        )
        warn(
            f"{found} are ambiguous: {len(fit.gauge['near_ties'])} other bases or "
            "causal orders of the nodes fit about as well as the best one and disagree on them. "
            "Predictions are not affected. Read the column `ambiguous` of "
            "`get_intervention_targets` and `get_causal_graph('ambiguous')`, and train with other "
            "seeds before trusting these calls."
        )


def orient(problem: GaugeProblem, gauge: Gauge) -> Gauge:
    """Choose the sign of each node so that its strongest genes go up."""
    loadings = problem.loadings @ torch.linalg.inv(gauge.directions).mT
    loadings = loadings - loadings.median(0)[0]
    sign = loadings.pow(3).sum(0).sign()
    return Gauge(gauge.directions * torch.where(sign == 0, 1.0, sign), gauge.cost)


def check_basis_may_be_free(mechanism: type[Mechanism], causal_space: str) -> None:
    """Raise if mechanisms are not linear where the basis of the nodes is chosen after training.

    Parameters
    ----------
    mechanism
        Class of the mechanisms.
    causal_space
        The causal space of the model.
    """
    if issubclass(mechanism, LinearMechanism):
        return
    msg = (
        f"`mechanism={mechanism.__name__}` is not a `scgim.scm.LinearMechanism`, but with "
        f"`causal_space={causal_space!r}` and without a program mask the basis of the nodes is "
        "free, and choosing it after training rests on linear mechanisms. Name the programs by "
        "`program_mask_key` in `GIM.setup_anndata` with `causal_space='programs'`, use "
        "`causal_space='genes'`, or leave `mechanism` out."
    )
    raise ValueError(msg)


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
