"""The fit of named genes: structure, mechanisms, targets, and the counts around them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from scgim.module import log_rate
from scgim.scm import (
    EfficacyModel,
    MechanismUncertainty,
    NamedNodeModel,
    SplineBasis,
    StructureScore,
    StructureSearch,
    SufficientStatistics,
    TargetEvidence,
    compute_denoised_covariance,
    compute_expression_evidence,
    compute_sufficient_statistics,
    compute_target_evidence,
    fit_structure_by_gradient,
    judge_on_held_out_cells,
    search_structure,
)
from scgim.scm._named_node_fit import fit_generator, mechanism_data, reassess_targets
from scgim.scm._sampling import compute_residuals
from scgim.scm.structure._sufficient_statistics import compute_target_penalty

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgim.scm import (
        InterventionKindName,
        Mechanism,
        PriorKnowledge,
        SearchProgress,
        Structure,
    )
    from scgim.spaces._genes_data import GenesData
    from scgim.spaces._graph_search import GraphSearch

StructureKind = Literal["search", "gradient", "given"]

MAX_EVIDENCE = 1e3
MIN_RELIABILITY = 0.02
MAX_SPLIT_ELEMENTS = 60_000_000
N_LATENT_CELLS = 4000
THETA_RANGE = (1e-2, 1e4)


class GenesOptions(NamedTuple):
    """How named genes are fitted."""

    mechanism: type[Mechanism]
    intervention: InterventionKindName
    structure: StructureKind


class GenesFit(NamedTuple):
    """What a fit of named genes found.

    Attributes
    ----------
    model
        Graph, mechanisms, targets of the single perturbations, generator.
    structure
        The same with the targets of combinations, too.
    residual_variance
        Variance of a gene around its parents as it is measured, shape ``(n_nodes,)``.
    uncertainty
        How far the mechanisms are open.
    evidence
        Marginal and residual scores of targets.
    """

    model: NamedNodeModel
    structure: Structure
    residual_variance: np.ndarray
    uncertainty: MechanismUncertainty
    evidence: TargetEvidence


def fit_expression(
    mechanism: Mechanism,
    data: GenesData,
    features: np.ndarray | None,
    options: GenesOptions,
    search: GraphSearch,
    prior: PriorKnowledge,
    *,
    rng: np.random.Generator,
    callback: Callable[[SearchProgress], None] | None,
) -> GenesFit:
    """Fit expression without counting noise.

    Parameters
    ----------
    mechanism
        The mechanisms, which are fitted in place.
    data
        The cells.
    features
        Features of the perturbations that were run alone, or ``None``.
    options
        How to fit.
    search
        How to search.
    prior
        What is known.
    rng
        Source of randomness.
    callback
        Told where the search stands.

    Returns
    -------
    The fit.
    """
    screen = data.screen()
    statistics = compute_sufficient_statistics(
        screen.values,
        screen.condition,
        screen.perturbation,
        is_linear=mechanism.is_linear,
    )
    settings = search.settings(options.intervention)
    if options.structure == "search":
        structure = search_structure(
            statistics, rng, settings=settings, prior=prior, callback=callback
        )
    else:
        graph = prior.required
        if options.structure == "gradient":
            seed = int(rng.integers(2**31))
            graph = fit_structure_by_gradient(data.single_screen(features), seed=seed).adjacency
        score = StructureScore(
            statistics, prior, kind=settings.kind, edge_penalty=settings.edge_penalty
        )
        structure = StructureSearch(score, graph, graph).describe(graph)
    mechanism.fit(mechanism_data(screen, structure, rng))
    variance = mechanism.noise_sd.square().numpy()
    structure = reassess_targets(screen, structure, mechanism, variance, prior.targets)
    singles = _keep_singles(structure, data.n_single)
    model = _fit_generator(data, features, singles, mechanism, variance)
    scatter = statistics.within.sum(axis=-1)[: screen.n_nodes, : screen.n_nodes]
    uncertainty = MechanismUncertainty(structure.adjacency, scatter, variance)
    evidence = compute_expression_evidence(screen.values, data.group[data.condition])
    return GenesFit(model, structure, variance, uncertainty, evidence)


def fit_counts(
    mechanism: Mechanism,
    data: GenesData,
    features: np.ndarray | None,
    options: GenesOptions,
    search: GraphSearch,
    prior: PriorKnowledge,
    *,
    rng: np.random.Generator,
    callback: Callable[[SearchProgress], None] | None,
) -> tuple[GenesFit, dict[str, np.ndarray]]:
    r"""Fit counts by the covariance that counting noise has no part in.

    The graph is searched on the regularised covariance of thinned counts
    (:func:`~scgim.scm.compute_denoised_covariance`). It is known as badly as the noise lets it be:
    with reliability :math:`r` (share of variance that is not counting noise) N cells count as
    :math:`r^2 N`. Targets are judged by mean residuals with their measured variance.

    Parameters
    ----------
    mechanism
        The mechanisms, which are fitted in place.
    data
        The cells.
    features
        Features of the perturbations that were run alone, or ``None``.
    options
        How to fit.
    search
        How to search.
    prior
        What is known.
    rng
        Source of randomness.
    callback
        Told where the search stands.

    Returns
    -------
    The fit, and the buffers of :meth:`~scgim.module.NamedNodeModule.assign`.
    """
    typical = float(np.median(data.library[data.is_control]))
    counts = data.count_screen(typical)
    n_splits = int(np.clip(MAX_SPLIT_ELEMENTS / data.counts.size, 4, 20))
    covariance = compute_denoised_covariance(counts, data.scale, rng, n_splits=n_splits)
    evidence = compute_target_evidence(counts, rng, n_splits=n_splits)
    evidence = judge_on_held_out_cells(evidence, counts, rng, n_splits=n_splits)
    regularised = covariance.regularised()
    reliability = np.clip(covariance.reliability, MIN_RELIABILITY, 1.0)
    statistics = _denoised_statistics(data, regularised, float(np.median(reliability)) ** 2)
    settings = search.settings(options.intervention)
    if options.structure == "search":
        structure = search_structure(
            statistics, rng, settings=settings, prior=prior, callback=callback
        )
    else:
        score = StructureScore(
            statistics, prior, kind=settings.kind, edge_penalty=settings.edge_penalty
        )
        structure = StructureSearch(score, prior.required, prior.required).describe(prior.required)
    mechanism.fit(mechanism_data(data.screen(), structure, rng))
    contrast = np.eye(len(structure.offset)) - mechanism.adjacency.numpy()
    measured = np.einsum("ij,ik,kj->j", contrast, covariance.measured, contrast)
    structure = reassess_targets(data.screen(), structure, mechanism, measured, prior.targets)
    singles = _keep_singles(structure, data.n_single)
    model = _fit_generator(data, features, singles, mechanism, measured)
    between = _between(data)
    prior_covariance = regularised + between
    noise = np.diag(np.maximum(np.diag(covariance.measured - regularised), 0.0))
    gain = np.linalg.solve(prior_covariance + noise, prior_covariance)
    buffers = {
        "gain": gain,
        "posterior_variance": np.maximum(np.diag(prior_covariance - prior_covariance @ gain), 1e-8),
        "median_library": np.array(typical),
    }
    scatter = statistics.within.sum(axis=-1)[:-1, :-1]
    variance = mechanism.noise_sd.square().numpy()
    uncertainty = MechanismUncertainty(structure.adjacency, scatter, variance)
    return GenesFit(model, structure, measured, uncertainty, evidence), buffers


def count_buffers(
    data: GenesData, nodes: np.ndarray, median_library: float
) -> dict[str, np.ndarray]:
    """Rates and dispersions with which drawn control cells have the counts of real ones.

    Parameters
    ----------
    data
        The cells.
    nodes
        Node values drawn from the causal model, shape ``(n_drawn, n_nodes)``.
    median_library
        Total count at which the size factor is 1.

    Returns
    -------
    ``log_correction`` and ``log_theta``, shape ``(n_nodes,)`` each.
    """
    control = np.flatnonzero(data.is_control)
    cells = np.resize(control, len(nodes))
    mean = data.center + data.scale * nodes + data.covariates[cells] @ data.covariate_effects
    rate = log_rate(torch.as_tensor(mean)).exp().numpy()
    size_factor = data.library[control] / median_library
    scaled = data.counts[control] / size_factor[:, None]
    observed = np.maximum(scaled.mean(axis=0), 1 / len(control))
    correction = observed / rate.mean(axis=0)
    rate = rate * correction
    left = scaled.var(axis=0) - observed * np.mean(1 / size_factor) - rate.var(axis=0)
    theta = np.mean(rate**2, axis=0) / np.maximum(left, 1e-12)
    return {
        "log_correction": np.log(correction),
        "log_theta": np.log(np.clip(theta, *THETA_RANGE)),
    }


def group_shifts(fit: GenesFit, data: GenesData) -> np.ndarray:
    """Shift of the targets of each group at its highest dose, ``(n_groups, n_nodes)``.

    Parameters
    ----------
    fit
        The fit.
    data
        The cells.

    Returns
    -------
    Mean residual of the targets; 0 elsewhere.
    """
    residual = data.screen().condition_means(compute_residuals(fit.model.mechanism, data.values))
    shifts = np.zeros(fit.structure.is_target.shape)
    for condition in np.argsort(data.log10_dose, kind="stable"):
        if data.group[condition] >= 0:
            shifts[data.group[condition]] = residual[condition]
    return np.where(fit.structure.is_target, shifts, 0.0)


def _keep_singles(structure: Structure, n_single: int) -> Structure:
    rows = slice(0, n_single)
    return replace(
        structure,
        kind_index=structure.kind_index[rows],
        target_probability=structure.target_probability[rows],
        target_evidence=structure.target_evidence[rows],
        kind_evidence=structure.kind_evidence[rows],
    )


def _fit_generator(
    data: GenesData,
    features: np.ndarray | None,
    structure: Structure,
    mechanism: Mechanism,
    noise_variance: np.ndarray,
) -> NamedNodeModel:
    screen = data.single_screen(features)
    if structure.is_target.any():
        return fit_generator(screen, structure, mechanism, noise_variance)
    n_single, n_nodes = structure.is_target.shape
    return NamedNodeModel(
        structure=structure,
        mechanism=mechanism,
        efficacy=EfficacyModel.fit_nothing(n_single, n_nodes),
        predictor=None,
        feature_center=np.zeros(0),
        feature_scale=np.ones(0),
        hard_share=np.zeros(n_nodes),
        hard_noise_scale=1.0,
        extra_noise=np.zeros((n_single, n_nodes)),
    )


def _denoised_statistics(
    data: GenesData, covariance: np.ndarray, weight: float
) -> SufficientStatistics:
    """Statistics of cells without counting noise, each cell counted with a weight."""
    n_nodes, n_groups = data.values.shape[1], len(data.groups)
    screen = data.screen()
    means, sizes = screen.condition_means(data.values), screen.condition_sizes
    extended = np.column_stack([means, np.ones(len(means))])
    shape = (n_nodes + 1, n_nodes + 1, n_groups + 1)
    within, between, n_cells = np.zeros(shape), np.zeros(shape), np.zeros(n_groups + 1)
    for mean, size, group in zip(extended, weight * sizes, data.group, strict=True):
        # Index -1 is the last slot, which is the control's.
        within[:-1, :-1, group] += size * covariance
        between[..., group] += size * np.outer(mean, mean)
        n_cells[group] += size
    return SufficientStatistics(
        within=within,
        between=between,
        n_cells=n_cells,
        target_penalty=compute_target_penalty(sizes, data.group, n_nodes),
        n_nodes=n_nodes,
        basis=SplineBasis.fit(data.values, is_linear=True),
    )


def _between(data: GenesData) -> np.ndarray:
    """Covariance of the means of conditions, weighed by their cells."""
    screen = data.screen()
    means, sizes = screen.condition_means(data.values), screen.condition_sizes
    centred = means - np.average(means, axis=0, weights=sizes)
    covariance: np.ndarray = (centred * sizes[:, None]).T @ centred / sizes.sum()
    return covariance
