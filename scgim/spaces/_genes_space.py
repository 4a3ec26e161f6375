"""Where named genes differ from programs and latent factors: the observation model and the fit."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scvi import settings

from scgim._messages import quote_some, warn
from scgim.data._feature_checks import check_new_features
from scgim.module import NamedNodeModule
from scgim.scm import (
    GeneratorReport,
    Intervention,
    MechanismUncertainty,
    NamedNodeModel,
    TargetPredictor,
    compute_shift_posterior,
    shift_nodes,
)
from scgim.spaces._calibration import N_DRAWS, ShiftErrors, uncalibrated, upper_doses, widen
from scgim.spaces._checks import (
    check_count_options,
    check_gene_nodes,
    check_no_minibatches,
    check_node_number,
    check_nodes_vary,
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
from scgim.spaces._genes_rows import (
    GenesRows,
    complete_rows,
    left_out_interventions,
    seen_rows,
    unseen_rows,
)
from scgim.spaces._global_state import one_thread
from scgim.spaces._graph_search import GraphSearch
from scgim.spaces._named_nodes_state import pack, unpack
from scgim.spaces._search_progress_bar import SearchProgressBar
from scgim.spaces._training_statistics import TrainingStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from scgim._types import BoolArray
    from scgim.spaces._conditions import Conditions
    from scgim.spaces._parts import ModelParts

logger = logging.getLogger(__name__)

MAX_NODES = 400
MIN_PERTURBATIONS = 4
N_DRAWN_CELLS = 4000
AMBIGUOUS = (0.1, 0.9)
MAX_P_VALUE = 0.05
N_PERMUTATIONS = 199
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


class GenesSpace:
    """Named genes: a searched graph, sparse targets, and a fit in closed form.

    Parameters
    ----------
    model
        The model.
    n_nodes
        Number of nodes as the user set it.
    options
        Kinds of mechanisms and interventions, and how the graph is found.
    """

    def __init__(self, model: ModelParts, n_nodes: int | None, options: GenesOptions) -> None:
        self.node_names = [str(name) for name in model.get_var_names()]
        n_cells = int(model.screen.conditions.n_cells.sum())
        check_gene_nodes(
            n_nodes,
            len(self.node_names),
            model.gene_likelihood,
            has_program_mask=model.screen.program_mask is not None,
        )
        check_node_number(len(self.node_names), n_cells, MAX_NODES)
        check_count_options(options.mechanism, options.structure, model.gene_likelihood)
        self._model = model
        self._options = options
        self._fitted: tuple[int, NamedNodeModel] | None = None
        self._tested: tuple[TargetPredictor, float] | None = None

    # The observation model.

    def make_module(self, **shared: Any) -> NamedNodeModule:  # noqa: ANN401
        """Build the module, see :class:`~scgim.spaces._space.Space`."""
        shared.pop("mean_log_expression", None)
        return NamedNodeModule(is_linear=self._options.mechanism == "linear", **shared)

    def control_sd(self) -> np.ndarray:
        """Nodes are standardised by control cells."""
        return np.ones(len(self.node_names))

    def gene_programs(self) -> np.ndarray:
        """Each gene is its own program."""
        return np.eye(len(self.node_names))

    def fix_gauge(self, n_starts: int, seed: int) -> None:
        """Do nothing: genes name the nodes, so their basis is not free."""
        del n_starts, seed
        logger.info("The genes name the nodes, so their basis is left as it is.")

    # The fit.

    def train(self, options: dict[str, Any]) -> None:
        """Search the graph, then fit mechanisms, targets and potencies in closed form."""
        search = options.pop("search") or GraphSearch()
        is_shown = options.pop("enable_progress_bar", True)
        check_no_minibatches(
            [name for name, value in options.items() if value != TRAIN_DEFAULTS.get(name, ...)]
        )
        model = self._model
        module = model.module
        loader = model._make_data_loader(adata=model.adata, batch_size=2048)  # noqa: SLF001
        data = GenesData.collect(module, model.screen, loader)
        check_nodes_vary(data.within, self.node_names)
        prior = search.prior(self.node_names, data.groups, model.screen.table.perturbations)
        module.assign(
            center=data.center, scale=data.scale, covariate_effects=data.covariate_effects
        )
        features = self._features(data)
        rng = np.random.default_rng(settings.seed)
        with one_thread(), SearchProgressBar(is_shown=is_shown) as progress:
            arguments = (data, features, self._options, search, prior)
            if not module.likelihood.is_count:
                fit = fit_expression(*arguments, rng=rng, callback=progress.report)
            else:
                fit, buffers = fit_counts(*arguments, rng=rng, callback=progress.report)
                module.assign(**buffers)
        module.mechanism.assign(fit.model.mechanism, data.values)
        self._assign_noise(data, rng)
        self._remember(fit, data)
        module.eval()
        model.is_trained_ = True
        self.learn_interventions(None)
        climbs = len(fit.structure.trace)
        model.history_ = {
            "structure_score": pd.DataFrame(
                {"structure_score": fit.structure.trace},
                index=pd.RangeIndex(climbs, name="climb"),
            )
        }
        warn_if_stopped(climbs, search.n_restarts, was_stopped=fit.structure.was_stopped)
        warn_if_targets_agree(fit.structure.is_target, self.node_names)
        if module.likelihood.is_count:
            warn_if_graph_explains_nothing(
                fit.evidence.explained, uses_graph=fit.evidence.uses_graph
            )

    def learn_interventions(self, dataloader: Iterable[dict[str, Tensor]] | None) -> None:
        """Learn the width of intervals; targets and potencies are final already."""
        model = self._model
        if dataloader is None:
            dataloader = model._make_data_loader(adata=model.adata, batch_size=2048)  # noqa: SLF001
        statistics = TrainingStatistics.collect(model.module, dataloader)
        model.statistics_ = statistics.to_dict()
        model.calibration_ = self._calibrate(statistics)

    # What the fit says of interventions.

    @property
    def interventions(self) -> NamedNodeModel | None:
        """Graph, targets and generator; ``None`` before training."""
        state = getattr(self._model, "named_nodes_", None)
        if state is None:
            return None
        if self._fitted is None or self._fitted[0] != id(state):
            self._fitted = (id(state), unpack(state["model"]))
        return self._fitted[1]

    @property
    def fitted(self) -> NamedNodeModel:
        """What training found."""
        assert self.interventions is not None
        return self.interventions

    @property
    def has_generator(self) -> bool:
        """Whether unseen perturbations can be predicted."""
        return self.interventions is not None and self.interventions.predictor is not None

    def require_generator(self) -> TargetPredictor:
        """Give what predicts targets from features, or say why this model cannot."""
        predictor = self.fitted.predictor
        if predictor is None:
            table = self._model.screen.table
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
            self.fitted.structure.is_target, n_permutations, np.random.default_rng(seed)
        )
        return GeneratorReport(
            left_out_r2={"targets": 1 - predictor.left_out_error},
            weights={"targets": 1.0},
            far_weights={"targets": 1.0},
            feature_use=max(1 - predictor.left_out_error, 0.0),
            p_value=p_value,
            is_informative=p_value <= MAX_P_VALUE,
        )

    def rows(self, names: list[str], features: pd.DataFrame | None) -> GenesRows:
        """Interventions of named perturbations, from the screen or from their features."""
        table = self._model.screen.table
        state = self._model.named_nodes_
        place = {name: row for row, name in enumerate(table.perturbations)}
        unseen = sorted(set(names) - set(place))
        rows = GenesRows(**state["rows"])
        if unseen:
            new = check_new_features(features, table.features, unseen)
            warn_if_targets_are_guessed(unseen, self._p_value, MAX_P_VALUE)
            rows = rows.append(unseen_rows(self.fitted, new))
        place |= {name: len(place) + row for row, name in enumerate(unseen)}
        return rows.take(np.array([place[name] for name in names], dtype=int))

    @property
    def _p_value(self) -> float:
        """How often permuted features predict targets as well; computed once per fit."""
        predictor = self.require_generator()
        if self._tested is None or self._tested[0] is not predictor:
            self._tested = (predictor, self.report_generator(N_PERMUTATIONS, 0).p_value)
        return self._tested[1]

    def blur(
        self, draws: Intervention, mean: Intervention, rng: np.random.Generator
    ) -> Intervention:
        """Move each node by what its mechanism may make of the shifts of its parents."""
        mechanism = self._model.module.mechanism
        empty = torch.zeros(len(self.node_names), device=mechanism.offset.device)
        on_device = mean.map(lambda values: values.to(empty))
        moved = mechanism.push(empty, on_device) - mechanism.push(empty, shift_nodes(empty))
        known = MechanismUncertainty(**self._model.named_nodes_["mechanism_uncertainty"])
        sd = torch.as_tensor(np.sqrt(known.variance(moved.double().cpu().numpy())))
        noise = torch.as_tensor(rng.standard_normal(draws.shift.shape)) * sd
        return draws.moved_by(noise * (1 - draws.is_cut))

    def call_targets(self, conditions: Conditions) -> dict[str, np.ndarray]:
        """Targets with their probability, and whether they are shifted or set."""
        rows, member = conditions.rows, conditions.condition
        assert isinstance(rows, GenesRows)
        shape = (len(conditions.obs), len(self.node_names))
        probability, evidence = np.ones(shape), np.full(shape, -np.inf)
        np.multiply.at(probability, member, 1 - rows.target_probability)
        np.maximum.at(evidence, member, rows.evidence)
        kind_index = np.full(shape, -1)
        np.maximum.at(kind_index, member, np.where(rows.probability > 0.5, rows.kind_index, -1))
        probability = 1 - probability
        is_target = kind_index >= 0
        is_close = (probability > AMBIGUOUS[0]) & (probability < AMBIGUOUS[1])
        kinds = [*self._model.named_nodes_["kinds"], ""]
        columns = {
            "probability": probability,
            "evidence": np.where(np.isfinite(evidence), evidence, 0.0),
            "is_target": is_target,
            # Predictions use the best graph; the probability is averaged over all good ones.
            "ambiguous": is_close | (is_target != (probability > 0.5)),
            "kind": np.array(kinds, dtype=object)[kind_index],
        }
        scores = self._model.named_nodes_["scores"]
        known = {name: row for row, name in enumerate(self._model.screen.table.perturbations)}
        index = [known.get(label, -1) for label in conditions.obs.iloc[:, 0]]
        for name, values in scores.items():
            columns[name] = np.vstack([values, np.full(shape[1], np.nan)])[index]
        return columns

    def check_can_minify(self) -> None:
        """Raise: the nodes are the genes themselves."""
        raise_cannot_minify()

    def check_can_map(self) -> None:
        """Raise: a fit in closed form has no weights that could learn the new cells alone."""
        raise_cannot_map()

    def edge_weights(self) -> np.ndarray:
        """Weights of the edges between standardised genes; mean slopes of neural mechanisms."""
        adjacency = self._model.module.mechanism.adjacency
        return adjacency.cpu().numpy().astype(np.float64)

    def edge_probability(self) -> np.ndarray:
        """Probabilities of the edges, from resampled searches or from the score."""
        return self._model.named_nodes_["edge_probability"]

    def edge_ambiguity(self) -> np.ndarray:
        """Whether graphs that explain the screen about as well disagree on an edge."""
        probability = self.edge_probability()
        return (probability > AMBIGUOUS[0]) & (probability < AMBIGUOUS[1])

    def _features(self, data: GenesData) -> np.ndarray | None:
        features = self._model.screen.table.features
        if features is None or data.n_single < MIN_PERTURBATIONS:
            return None
        names = [parts[0] for parts in data.groups[: data.n_single]]
        return features.loc[names].to_numpy(np.float64)

    def _assign_noise(self, data: GenesData, rng: np.random.Generator) -> None:
        """Fit what lies between nodes and expression, on cells drawn from the causal model."""
        module = self._model.module
        if not module.likelihood.is_count:
            return
        shape = (N_DRAWN_CELLS, len(self.node_names))
        noise = torch.as_tensor(rng.standard_normal(shape)).float()
        nodes = module.mechanism.push(noise, shift_nodes(torch.zeros(shape[1])))
        module.assign(**count_buffers(data, nodes.numpy(), float(module.median_library)))

    def _remember(self, fit: GenesFit, data: GenesData) -> None:
        """Keep what was learned as plain arrays, to be saved with the model."""
        order = self._model.screen.table.perturbations
        names = [parts[0] for parts in data.groups[: data.n_single]]
        posterior = compute_shift_posterior(
            fit.model, data.single_screen(None), fit.residual_variance
        )
        single = seen_rows(fit.model, posterior)
        rows, all_names = complete_rows(single, names, data.groups, group_shifts(fit, data))
        rows = rows.take(np.array([all_names.index(name) for name in order], dtype=int))
        scores = {}
        for name in ("marginal", "residual"):
            values = pd.DataFrame(getattr(fit.evidence, name)[: data.n_single], index=names)
            scores[name] = values.reindex(order).to_numpy()
        if self._model.module.likelihood.is_count:
            # Most of a count is noise: the searched graph has a say only where it shows its worth.
            combined = pd.DataFrame(fit.evidence.combine()[: data.n_single], index=names)
            rows = replace(rows, evidence=combined.reindex(order, fill_value=0.0).to_numpy())
        self._model.named_nodes_ = {
            "model": pack(fit.model),
            "rows": asdict(rows),
            "mechanism_uncertainty": asdict(fit.uncertainty),
            "kinds": [kind.name for kind in fit.structure.kinds],
            "scores": scores,
            "explained": fit.evidence.explained,
            "uses_graph": fit.evidence.uses_graph,
            "edge_probability": fit.structure.edge_probability,
        }

    def _calibrate(self, statistics: TrainingStatistics) -> dict[str, dict[str, object]]:
        """Widths of intervals from errors on training conditions and of left-out perturbations."""
        screen, rng = self._model.screen, np.random.default_rng(0)
        single = statistics.single_rows(screen)
        if not len(single):
            return {"seen": uncalibrated(), "unseen": uncalibrated()}
        with np.errstate(divide="ignore"):
            dose = statistics.dose[single]
            log10_dose = np.where(np.isnan(dose), np.inf, np.log10(dose))
        chosen = upper_doses(log10_dose)
        single, log10_dose = single[chosen], log10_dose[chosen]
        errors = ShiftErrors(self._model, statistics, single)
        owner = screen.table.components[statistics.label[single]].max(1)
        names = [screen.table.perturbations[row] for row in owner]

        def calibrate(rows: GenesRows) -> dict[str, object]:
            mean = rows.at(log10_dose)
            draws = self.blur(rows.draw(log10_dose, N_DRAWS, rng), mean, rng)
            return errors.calibrate(mean, draws, is_averaged=bool(rows.is_uncertain.all()))

        seen = widen(calibrate(self.rows(names, None)))
        if self.fitted.predictor is None:
            return {"seen": seen, "unseen": uncalibrated()}
        alone = sorted(set(names))
        left_out = left_out_interventions(self.fitted)
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


def warn_if_targets_are_guessed(names: list[str], p_value: float, largest: float) -> None:
    """Warn that targets of unseen perturbations come from features that may say nothing.

    Parameters
    ----------
    names
        Unseen perturbations.
    p_value
        How often shuffled features predict left-out targets as well.
    largest
        Up to which p value features are taken to say something.
    """
    if p_value > largest:
        warn(
            f"Targets of the unseen perturbations {quote_some(names)} are little more than the rate "
            "at which each gene is a target, because the features of the seen ones cannot be told "
            f"from shuffled ones (permutation p = {p_value:.2g}). Give features that say more about "
            "mechanisms, and see `GIM.get_generator_report`."
        )


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
