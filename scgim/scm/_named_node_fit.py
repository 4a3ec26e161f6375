from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit, logit

from scgim.scm._mechanism_fit import MechanismData
from scgim.scm._sampling import compute_residuals
from scgim.scm._sufficient_statistics import compute_target_penalty
from scgim.scm.generator._efficacy_model import EfficacyModel, ShiftObservations
from scgim.scm.generator._named_node_model import NamedNodeModel
from scgim.scm.generator._target_prediction import TargetPredictor
from scgim.scm.structure._mechanism_uncertainty import MechanismUncertainty
from scgim.scm.structure._prior_knowledge import PriorKnowledge
from scgim.scm.structure._structure_score import StructureScore
from scgim.scm.structure._structure_search import SearchSettings, StructureSearch, search_structure

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgim._types import BoolArray, FloatArray, IntArray
    from scgim.scm._mechanism import Mechanism
    from scgim.scm._named_node_screen import NamedNodeScreen
    from scgim.scm._structure import Structure
    from scgim.scm._sufficient_statistics import SufficientStatistics
    from scgim.scm.structure._structure_search import SearchProgress

# Weight of the share of hard interventions over all nodes, in targets: one observation's worth.
HARD_PRIOR_WEIGHT = 1.0
# Evidence in nats for what is known; beyond all that cells say.
MAX_EVIDENCE = 1e3


class NamedNodeFit(NamedTuple):
    """What was learned of named nodes.

    Attributes
    ----------
    model
        Graph, mechanisms, targets of the perturbations that were run alone, generator.
    structure
        Graph, and the targets of all perturbations, combinations among them.
    residual_variance
        Variance of a node around its parents as it is measured, shape ``(n_nodes,)``.
    uncertainty
        How far the mechanisms are open.
    """

    model: NamedNodeModel
    structure: Structure
    residual_variance: FloatArray
    uncertainty: MechanismUncertainty


def find_structure(
    statistics: SufficientStatistics,
    rng: np.random.Generator,
    *,
    settings: SearchSettings | None = None,
    prior: PriorKnowledge | None = None,
    graph: BoolArray | None = None,
    callback: Callable[[SearchProgress], None] | None = None,
) -> Structure:
    """Find graph and targets, from sufficient statistics alone: the first half of the fit.

    Parameters
    ----------
    statistics
        Summary of the screen, in the basis of the mechanisms.
    rng
        Source of restarts.
    settings
        How to search.
    prior
        What is known of edges and targets.
    graph
        A known acyclic graph, ``[parent, child]``: nothing is searched but the targets.
    callback
        Told after each climb where the search stands.

    Returns
    -------
    Graph and targets.
    """
    settings = settings or SearchSettings()
    prior = prior or PriorKnowledge.none(statistics.n_nodes, statistics.n_perturbations)
    if graph is None:
        return search_structure(statistics, rng, settings=settings, prior=prior, callback=callback)
    score = StructureScore(
        statistics, prior, kind=settings.kind, edge_penalty=settings.edge_penalty
    )
    return StructureSearch(score, graph, graph).describe(graph)


def fit_named_nodes(
    screen: NamedNodeScreen,
    structure: Structure,
    mechanism: Mechanism,
    rng: np.random.Generator,
    *,
    scatter: FloatArray,
    alone: NamedNodeScreen | None = None,
    known_targets: IntArray | None = None,
    measured_covariance: FloatArray | None = None,
) -> NamedNodeFit:
    """Fit mechanisms, targets and generator, given the graph: the second half of the fit.

    Parameters
    ----------
    screen
        The data.
    structure
        Graph and targets, see :func:`find_structure`.
    mechanism
        How nodes follow their parents; it is fitted in place.
    rng
        Source of the seed of the mechanisms.
    scatter
        Scatter of the nodes within conditions, shape ``(n_nodes, n_nodes)``.
    alone
        The control and the perturbations that were run alone, which come first in ``screen``, with
        their features; by default all.
    known_targets
        As in :class:`PriorKnowledge`; by default none is known.
    measured_covariance
        Covariance of the nodes within conditions as measured, where the mechanisms are fitted to one
        that is free of counting noise.

    Returns
    -------
    The fit.
    """
    alone = screen if alone is None else alone
    if known_targets is None:
        known_targets = np.full(structure.is_target.shape, -1)
    mechanism.fit(mechanism_data(screen, structure, rng))
    noise_variance = mechanism.noise_sd.square().numpy()
    measured = noise_variance
    if measured_covariance is not None:
        contrast = np.eye(screen.n_nodes) - mechanism.adjacency.detach().numpy()
        measured = np.einsum("ij,ik,kj->j", contrast, measured_covariance, contrast)
    structure = reassess_targets(screen, structure, mechanism, measured, known_targets)
    of_alone = structure.of_perturbations(alone.n_perturbations)
    return NamedNodeFit(
        model=fit_generator(alone, of_alone, mechanism, measured),
        structure=structure,
        residual_variance=measured,
        uncertainty=MechanismUncertainty(structure.adjacency, scatter, noise_variance),
    )


def mechanism_data(
    screen: NamedNodeScreen, structure: Structure, rng: np.random.Generator
) -> MechanismData:
    """Say what mechanisms are fitted to, given the graph and the targets that were found.

    Parameters
    ----------
    screen
        The data.
    structure
        Graph and targets.
    rng
        Source of the seed of the fit.

    Returns
    -------
    The data of the fit.
    """
    # The last row stands for the control, which perturbation -1 picks.
    none = np.zeros((1, screen.n_nodes), dtype=bool)
    # Cells whose noise is another one would count too little or too much: leave them out.
    is_other = np.vstack([structure.is_rescaled | structure.is_hard, none])[screen.perturbation]
    is_moved = np.vstack([structure.is_moved, none])[screen.perturbation]
    return MechanismData(
        values=screen.values,
        condition=screen.condition,
        graph=structure.adjacency,
        is_shifted=is_moved & ~is_other,
        is_replaced=is_other,
        linear_weights=structure.coefficients[: screen.n_nodes],
        linear_offset=structure.offset,
        linear_noise_variance=structure.noise_variance,
        seed=int(rng.integers(2**31)),
    )


def reassess_targets(
    screen: NamedNodeScreen,
    structure: Structure,
    mechanism: Mechanism,
    noise_variance: FloatArray,
    known_targets: IntArray,
) -> Structure:
    r"""Decide on shifted targets again, by mechanisms that may be richer than those of the search.

    The evidence for a target is :math:`\sum_c n_c \bar r_c^2 / 2\sigma^2` less the price of its shifts.
    Features have no say: where one perturbation alone hits a node they would speak against it.

    Parameters
    ----------
    screen
        The data.
    structure
        Graph and targets as the search left them.
    mechanism
        Fitted mechanisms, perhaps richer than those of the search.
    noise_variance
        Variance of a node around its parents as it is measured, shape ``(n_nodes,)``.
    known_targets
        As in :class:`PriorKnowledge`; known entries stay.

    Returns
    -------
    The structure with shifted targets and their evidence renewed; targets of other kinds stay.
    """
    shifts = [not (kind.cuts_parents or kind.rescales_noise) for kind in structure.kinds]
    if True not in shifts:
        return structure
    residual = screen.condition_means(compute_residuals(mechanism, screen.values))
    sizes, owner = screen.condition_sizes, screen.perturbation
    explained = sizes[:, None] * residual**2 / (2 * noise_variance)
    evidence = np.zeros(structure.is_target.shape)
    treated = owner >= 0
    np.add.at(evidence, owner[treated], explained[treated])
    evidence -= compute_target_penalty(sizes, owner, screen.n_nodes)[:, None]
    is_other = structure.is_hard | structure.is_rescaled
    evidence = np.where(is_other, structure.target_evidence, evidence)
    evidence[known_targets == 1] = MAX_EVIDENCE
    evidence[known_targets == 0] = -MAX_EVIDENCE
    kind_index = np.where(is_other, structure.kind_index, shifts.index(True))
    # What other graphs say of a target stays, as log-odds beside those of the best graph.
    averaged = logit(np.clip(structure.target_probability, 1e-12, 1 - 1e-12))
    return replace(
        structure,
        target_probability=expit(averaged + evidence - structure.target_evidence),
        kind_index=np.where(evidence > 0, kind_index, -1),
        target_evidence=evidence,
    )


def fit_generator(
    screen: NamedNodeScreen,
    structure: Structure,
    mechanism: Mechanism,
    noise_variance: FloatArray,
) -> NamedNodeModel:
    """Fit the generator of interventions to what the mechanisms leave unexplained.

    Parameters
    ----------
    screen
        The data.
    structure
        Graph and targets.
    mechanism
        Mechanisms.
    noise_variance
        Variance of a node around its parents as it is measured, shape ``(n_nodes,)``.

    Returns
    -------
    The model; without any target it has no generator.
    """
    if not structure.is_target.any():
        return _without_targets(structure, mechanism)
    n_nodes, values = screen.n_nodes, screen.values
    means = screen.condition_means(values)
    spread = screen.condition_means(values**2) - means**2
    treated = (screen.perturbation >= 0)[:, None]
    is_hard = structure.is_hard[screen.perturbation] & treated
    residuals = compute_residuals(mechanism, screen.values)
    residual = screen.condition_means(residuals)
    # Rounding takes the variance of a few equal cells below zero.
    residual_spread = np.maximum(screen.condition_means(residuals**2) - residual**2, 0.0)
    is_rescaled = structure.is_rescaled[screen.perturbation] & treated & ~is_hard
    observed = np.where(is_hard, means, residual)
    variance = np.where(is_rescaled, residual_spread, noise_variance)
    variance = np.where(is_hard, spread, variance)
    observations = ShiftObservations.from_conditions(
        observed,
        np.maximum(variance, 1e-8) / screen.condition_sizes[:, None],
        screen.perturbation,
        screen.log10_dose,
        structure.is_moved,
    )
    center, scale, scaled = _standardize(screen.features)
    efficacy = EfficacyModel.fit(
        observations, scaled, n_perturbations=screen.n_perturbations, n_nodes=n_nodes
    )
    noise_ratio = np.sqrt(residual_spread / noise_variance)
    return NamedNodeModel(
        structure=structure,
        mechanism=mechanism,
        efficacy=efficacy,
        predictor=None if scaled is None else TargetPredictor.fit(scaled, structure.is_target),
        feature_center=center,
        feature_scale=scale,
        hard_share=_hard_share(structure),
        hard_noise_scale=_hard_noise_scale(spread, is_hard, noise_variance),
        extra_noise=_extra_noise(screen, efficacy, noise_ratio, is_rescaled),
    )


def _without_targets(structure: Structure, mechanism: Mechanism) -> NamedNodeModel:
    n_perturbations, n_nodes = structure.is_target.shape
    return NamedNodeModel(
        structure=structure,
        mechanism=mechanism,
        efficacy=EfficacyModel.fit_nothing(n_perturbations, n_nodes),
        predictor=None,
        feature_center=np.zeros(0),
        feature_scale=np.ones(0),
        hard_share=np.zeros(n_nodes),
        hard_noise_scale=1.0,
        extra_noise=np.zeros((n_perturbations, n_nodes)),
    )


def _standardize(
    features: FloatArray | None,
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    if features is None:
        return np.zeros(0), np.ones(0), None
    center, sd = features.mean(axis=0), features.std(axis=0)
    scale = np.where(sd > 0, sd, 1.0)
    return center, scale, (features - center) / scale


def _hard_share(structure: Structure) -> FloatArray:
    """Share of hard interventions per node, drawn towards the share over all nodes."""
    n_targets = structure.is_target.sum(axis=0)
    overall = structure.is_hard.sum() / max(int(structure.is_target.sum()), 1)
    n_hard = structure.is_hard.sum(axis=0)
    share: FloatArray = (n_hard + HARD_PRIOR_WEIGHT * overall) / (n_targets + HARD_PRIOR_WEIGHT)
    return share


def _hard_noise_scale(spread: FloatArray, is_hard: BoolArray, noise_variance: FloatArray) -> float:
    if not is_hard.any():
        return 1.0
    return float(np.sqrt(np.median((spread / noise_variance)[is_hard])))


def _extra_noise(
    screen: NamedNodeScreen, efficacy: EfficacyModel, ratio: FloatArray, is_rescaled: BoolArray
) -> FloatArray:
    """Regress what is added to the noise scale on the response to the dose, without intercept."""
    rows = efficacy.rows[screen.perturbation]
    response = efficacy.response(rows, screen.log10_dose)[:, None]
    weight = screen.condition_sizes[:, None] * response * is_rescaled
    top, bottom = np.zeros((2, *efficacy.extra.shape))
    treated = screen.perturbation >= 0
    np.add.at(top, screen.perturbation[treated], (weight * (ratio - 1))[treated])
    np.add.at(bottom, screen.perturbation[treated], (weight * response)[treated])
    extra: FloatArray = top / np.where(bottom > 0, bottom, 1.0)
    return extra
