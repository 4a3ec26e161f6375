"""Named genes: the observation model, and the fit in closed form."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scvi import settings

from scgim._messages import quote_some, warn
from scgim.module import NamedNodeModule, get_likelihood
from scgim.scm import compute_shift_posterior, shift_nodes
from scgim.scm.generator._sparse_interventions import (
    add_combined_only,
    of_left_out_perturbations,
    of_seen_perturbations,
)
from scgim.scm.structure._outstanding_targets import MIN_GENES, call_outstanding_targets
from scgim.scm.structure._target_evidence import orient_evidence
from scgim.spaces._calibration import N_DRAWS, ShiftErrors, uncalibrated, upper_doses, widen
from scgim.spaces._checks import (
    check_count_options,
    check_gene_nodes,
    check_no_minibatches,
    check_node_number,
    check_nodes_vary,
    check_profiles,
)
from scgim.spaces._genes_data import GenesData
from scgim.spaces._genes_fit import (
    GenesFit,
    GenesOptions,
    count_buffers,
    fit_counts,
    fit_expression,
    group_shifts,
)
from scgim.spaces._global_state import one_thread
from scgim.spaces._graph_search import GraphSearch
from scgim.spaces._named_nodes_fit import MIN_PERTURBATIONS, NamedNodesFit
from scgim.spaces._named_nodes_state import pack
from scgim.spaces._search_progress_bar import SearchProgressBar
from scgim.spaces._space import Space
from scgim.spaces._training_statistics import TrainingStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from scgim._types import BoolArray, IntArray
    from scgim.data import Screen
    from scgim.module import GeneLikelihood
    from scgim.scm import SparseInterventions
    from scgim.spaces._fit import Calibration, ReadCells

logger = logging.getLogger(__name__)

# The search takes time that grows faster than the square of the nodes.
MAX_NODES = 400
# Cells drawn from the model to fit what lies between nodes and counts.
N_DRAWN_CELLS = 4000
TRAIN_DEFAULTS = {
    "max_epochs": None,
    "batch_size": 256,
    "train_size": None,
    "early_stopping": True,
    "fix_gauge": True,
    "accelerator": "auto",
    "devices": "auto",
    "plan_kwargs": None,
    "datasplitter_kwargs": None,
}


class GenesSpace(Space):
    """Named genes: a searched graph, sparse targets, and a fit in closed form.

    Parameters
    ----------
    screen
        What the registry knows of the screen.
    gene_names
        Names of the genes, which are the nodes.
    n_nodes
        Number of nodes as the user set it.
    gene_likelihood
        How counts or expression follow the nodes.
    options
        Kinds of mechanisms and interventions, and how the graph is found.
    """

    trains_weights = False

    def __init__(
        self,
        screen: Screen,
        gene_names: Sequence[str],
        n_nodes: int | None,
        gene_likelihood: GeneLikelihood,
        options: GenesOptions,
    ) -> None:
        self.node_names = [str(name) for name in gene_names]
        check_gene_nodes(
            n_nodes,
            len(self.node_names),
            gene_likelihood,
            has_program_mask=screen.program_mask is not None,
        )
        check_node_number(len(self.node_names), int(screen.conditions.n_cells.sum()), MAX_NODES)
        check_count_options(options.mechanism, options.structure, gene_likelihood)
        self._screen, self._gene_likelihood, self._options = screen, gene_likelihood, options

    def make_module(self, **shared: Any) -> NamedNodeModule:  # noqa: ANN401
        """Build the module, see :class:`~scgim.spaces._space.Space`."""
        shared.pop("mean_log_expression", None)
        return NamedNodeModule(mechanism_class=self._options.mechanism, **shared)

    def check_train_arguments(self, search: GraphSearch | None, arguments: dict[str, Any]) -> None:
        """Raise for arguments that speak of minibatches."""
        del search
        check_no_minibatches(
            [
                name
                for name, value in arguments.items()
                if name != "enable_progress_bar" and value != TRAIN_DEFAULTS.get(name, ...)
            ]
        )

    def fit(
        self,
        module: NamedNodeModule,
        read_cells: ReadCells,
        *,
        search: GraphSearch | None = None,
        reference: TrainingStatistics | None = None,
        show_progress: bool = True,
    ) -> NamedNodesFit:
        """Search the graph, then fit mechanisms, targets and dose responses in closed form.

        What is found is written into ``module``, which predicts with it.
        """
        search = search or GraphSearch()
        data = GenesData.collect(module, self._screen, read_cells(2048, None))
        check_nodes_vary(data.within, self.node_names)
        prior = search.prior(self.node_names, data.groups, self._screen.table.perturbations)
        if not data.has_replicates:
            check_profiles(prior.targets, self._options.structure, data.groups)
        module.assign(
            center=data.center, scale=data.scale, covariate_effects=data.covariate_effects
        )
        features = self._features(data)
        rng = np.random.default_rng(settings.seed)
        with one_thread(), SearchProgressBar(is_shown=show_progress) as progress:
            arguments = (module.mechanism, data, features, self._options, search, prior)
            if self._is_count:
                found, buffers = fit_counts(*arguments, rng=rng, callback=progress.report)
                module.assign(**buffers)
            else:
                found = fit_expression(*arguments, rng=rng, callback=progress.report)
        if self._is_count:
            _assign_counting_noise(module, data, rng)
        module.eval()
        known = prior.targets[: data.n_single]
        fit = self._describe(module, found, data, known, read_cells(2048, None), reference)
        climbs = len(found.structure.trace)
        warn_if_stopped(climbs, search.n_restarts, was_stopped=found.structure.was_stopped)
        warn_if_targets_agree(found.structure.is_target, self.node_names)
        if self._is_count:
            warn_if_graph_explains_nothing(
                found.evidence.explained, uses_graph=found.evidence.uses_graph
            )
        return fit

    def refit(self, fit: NamedNodesFit, batches: Iterable[dict[str, Tensor]]) -> NamedNodesFit:
        """Learn the width of intervals from other cells; graph and targets are final already."""
        statistics = TrainingStatistics.collect(fit.module, batches)
        fit = replace(fit, statistics=statistics)
        return fit.calibrated(_calibrate(fit))

    def read(self, module: NamedNodeModule, state: dict[str, Any]) -> NamedNodesFit:
        """Rebuild a saved fit."""
        return NamedNodesFit.from_state(module, self._screen, self.node_names, state)

    def fix_gauge(
        self, fit: NamedNodesFit, read_cells: ReadCells, *, n_starts: int, seed: int
    ) -> NamedNodesFit:
        """Do nothing: genes name the nodes, so their basis is not free."""
        del read_cells, n_starts, seed
        logger.info("The genes name the nodes, so their basis is left as it is.")
        return fit

    def check_can_minify(self) -> None:
        """Raise: the nodes are the genes themselves."""
        raise_cannot_minify()

    def check_can_map(self) -> None:
        """Raise: a fit in closed form has no weights that could learn the new cells alone."""
        raise_cannot_map()

    @property
    def _is_count(self) -> bool:
        return get_likelihood(self._gene_likelihood).is_count

    def _features(self, data: GenesData) -> np.ndarray | None:
        features = self._screen.table.features
        if features is None or data.n_single < MIN_PERTURBATIONS:
            return None
        names = [parts[0] for parts in data.groups[: data.n_single]]
        return features.loc[names].to_numpy(np.float64)

    def _describe(
        self,
        module: NamedNodeModule,
        found: GenesFit,
        data: GenesData,
        known_targets: IntArray,
        batches: Iterable[dict[str, Tensor]],
        reference: TrainingStatistics | None,
    ) -> NamedNodesFit:
        """Hold what was found as plain arrays, and learn the width of intervals."""
        order = self._screen.table.perturbations
        names = [parts[0] for parts in data.groups[: data.n_single]]
        posterior = compute_shift_posterior(
            found.model, data.single_screen(None), found.residual_variance
        )
        single = of_seen_perturbations(found.model, posterior)
        moved = group_shifts(found, data)
        rank = self._rank_targets(
            found, names, moved[: len(names)], has_replicates=data.has_replicates
        )
        is_called, probability = single.probability > 0.5, single.target_probability
        if self._is_count and len(self.node_names) >= MIN_GENES:
            is_two_sided = self._screen.directions.signs(names) == 0
            is_called, probability = call_outstanding_targets(
                rank, is_two_sided, probability, known_targets
            )
        ranked = replace(single, evidence=rank, target_probability=probability)
        totals = np.where(found.structure.is_target, moved, 0.0)
        distribution, all_names = add_combined_only(ranked, names, data.groups, totals)
        index = np.array([all_names.index(name) for name in order], dtype=int)
        distribution = distribution.take(index)
        # Perturbations that were run in combinations only are what the others leave of these.
        of_all = distribution.probability > 0.5
        of_all[[order.index(name) for name in names]] = is_called
        scores = {}
        for name in ("marginal", "residual"):
            values = pd.DataFrame(getattr(found.evidence, name)[: data.n_single], index=names)
            scores[name] = values.reindex(order).to_numpy()
        trace = found.structure.trace
        index = pd.RangeIndex(len(trace), name="climb")
        fit = NamedNodesFit(
            module=module,
            screen=self._screen,
            node_names=self.node_names,
            statistics=TrainingStatistics.collect(module, batches),
            calibration={},
            reference=reference,
            history={"structure_score": pd.DataFrame({"structure_score": trace}, index=index)},
            named_nodes={
                "model": pack(found.model),
                "interventions": asdict(distribution),
                "mechanism_uncertainty": asdict(found.uncertainty),
                "kinds": [kind.name for kind in found.structure.kinds],
                "scores": scores,
                "is_called": of_all,
                "explained": found.evidence.explained,
                "uses_graph": found.evidence.uses_graph,
                "edge_probability": found.structure.edge_probability,
            },
        )
        return fit.calibrated(_calibrate(fit))

    def _rank_targets(
        self, found: GenesFit, names: list[str], moved: np.ndarray, *, has_replicates: bool
    ) -> np.ndarray:
        """Score all genes as targets of perturbations that were run alone, by their direction."""
        sign = self._screen.directions.signs(names)
        if not self._is_count and has_replicates:
            return orient_evidence(found.model.structure.target_evidence, moved, sign)
        # Most of a count is noise, and so may be all of a single profile: the searched graph has a
        # say only where it shows its worth.
        of_groups = np.zeros(len(found.evidence.marginal), dtype=np.int64)
        of_groups[: len(names)] = sign
        return found.evidence.combine(sign=of_groups)[: len(names)]


def _assign_counting_noise(
    module: NamedNodeModule, data: GenesData, rng: np.random.Generator
) -> None:
    """Fit what lies between nodes and counts, on cells drawn from the causal model."""
    shape = (N_DRAWN_CELLS, len(module.mechanism.offset))
    noise = torch.as_tensor(rng.standard_normal(shape)).float()
    nodes = module.mechanism.simulate(noise, shift_nodes(torch.zeros(shape[1])))
    module.assign(**count_buffers(data, nodes.numpy(), float(module.median_library)))


def _calibrate(fit: NamedNodesFit) -> Calibration:
    """Widths of intervals from errors on training conditions and of left-out perturbations."""
    screen, statistics, rng = fit.screen, fit.statistics, np.random.default_rng(0)
    single = statistics.single_rows(screen)
    if not len(single):
        return {"seen": uncalibrated(), "unseen": uncalibrated()}
    with np.errstate(divide="ignore"):
        dose = statistics.dose[single]
        log10_dose = np.where(np.isnan(dose), np.inf, np.log10(dose))
    chosen = upper_doses(log10_dose)
    single, log10_dose = single[chosen], log10_dose[chosen]
    errors = ShiftErrors(fit, single)
    owner = screen.table.components[statistics.label[single]].max(1)
    names = [screen.table.perturbations[row] for row in owner]

    def calibrate(distribution: SparseInterventions) -> dict[str, object]:
        mean = distribution.mean(log10_dose)
        draws = fit.blur(distribution.sample(log10_dose, N_DRAWS, rng), mean, rng)
        is_averaged = bool(distribution.is_uncertain.all())
        return errors.calibrate(mean, draws, is_averaged=is_averaged)

    seen = widen(calibrate(fit.interventions_of(names, None)))
    if fit.interventions.predictor is None:
        return {"seen": seen, "unseen": uncalibrated()}
    alone = sorted(set(names))
    left_out = of_left_out_perturbations(fit.interventions)
    return {
        "seen": seen,
        "unseen": calibrate(left_out.take(np.array([alone.index(name) for name in names]))),
    }


def raise_cannot_map() -> None:
    """Raise where a model of named genes is to be mapped on new cells."""
    msg = (
        "A model with `causal_space='genes'` cannot be mapped on new cells: it is fitted in closed "
        "form, from all cells at once. Train a new model on the old and the new cells together, or "
        "predict with this one."
    )
    raise ValueError(msg)


def raise_cannot_minify() -> None:
    """Raise where the cells of a model of named genes are to be replaced by their posterior."""
    msg = (
        "The cells of a model with `causal_space='genes'` cannot be minified: its nodes are the genes "
        "themselves, so there is no smaller posterior to keep. `GIM.save` without AnnData is enough "
        "for predictions."
    )
    raise ValueError(msg)


def warn_if_targets_agree(is_target: BoolArray, names: Sequence[str]) -> None:
    """Warn if all perturbations have the same targets, which says little about the graph.

    Parameters
    ----------
    is_target
        Targets, shape ``(n_perturbations, n_nodes)``.
    names
        Names of the nodes.
    """
    if len(is_target) < 2 or not (is_target == is_target[0]).all() or not is_target.any():
        return
    shared = quote_some([names[node] for node in np.flatnonzero(is_target[0]).tolist()])
    warn(
        f"All {len(is_target)} perturbations have the same targets ({shared}), so only edges "
        "downstream of them are identified. Add perturbations with other targets, or give prior "
        "edges."
    )


def warn_if_stopped(n_climbs: int, n_restarts: int, *, was_stopped: bool) -> None:
    """Warn if a structure search was interrupted.

    Parameters
    ----------
    n_climbs
        Climbs that were finished.
    n_restarts
        Climbs that were asked for.
    was_stopped
        Whether the search was interrupted.
    """
    if was_stopped:
        warn(
            f"The structure search was stopped after {n_climbs} of {n_restarts + 1} climbs; the best "
            "graph until then is kept. Search again for more certainty."
        )


def warn_if_graph_explains_nothing(explained: float, *, uses_graph: bool) -> None:
    """Warn if targets of counts are ranked without the graph.

    Parameters
    ----------
    explained
        Share of the other genes' shift that genes explain on held-out cells.
    uses_graph
        Whether that is enough.
    """
    if uses_graph:
        return
    share = f"{explained:.2f} of it" if np.isfinite(explained) else "too little shift to say"
    warn(
        f"On held-out cells genes do not demonstrably explain the shifts of other genes ({share}), so "
        "`evidence` ranks targets by how much a gene moved, not by how much it moved by itself. Read "
        "the columns `marginal` and `residual` of `get_intervention_targets`."
    )
