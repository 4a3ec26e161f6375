"""The fit of named genes: structure, mechanisms, targets, and the counts around them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from scgim.module import log_rate
from scgim.scm import (
    SplineBasis,
    SufficientStatistics,
    compute_denoised_covariance,
    compute_expression_evidence,
    compute_sufficient_statistics,
    compute_target_evidence,
    find_structure,
    fit_named_nodes,
    fit_structure_by_gradient,
    judge_on_held_out_cells,
)
from scgim.scm._sampling import compute_residuals
from scgim.scm._sufficient_statistics import compute_target_penalty
from scgim.scm.structure._target_evidence import median_deviation

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgim.scm import (
        InterventionKindName,
        Mechanism,
        MechanismUncertainty,
        NamedNodeModel,
        PriorKnowledge,
        SearchProgress,
        Structure,
        TargetEvidence,
    )
    from scgim.spaces._genes_data import GenesData
    from scgim.spaces._graph_search import GraphSearch

StructureKind = Literal["search", "gradient", "given"]

MAX_EVIDENCE = 1e3
MIN_RELIABILITY = 0.02
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
    screen, alone = data.screen(), data.single_screen(features)
    statistics = compute_sufficient_statistics(
        screen.values, screen.condition, screen.perturbation, is_linear=mechanism.is_linear
    )
    graph = None if options.structure == "search" else prior.required
    if options.structure == "gradient":
        seed = int(rng.integers(2**31))
        graph = fit_structure_by_gradient(alone, seed=seed).adjacency
    settings = search.settings(options.intervention)
    structure = find_structure(
        statistics, rng, settings=settings, prior=prior, graph=graph, callback=callback
    )
    if not data.has_replicates:
        structure = _with_noise_between(data, structure, is_linear=mechanism.is_linear)
    found = fit_named_nodes(
        screen,
        structure,
        mechanism,
        rng,
        scatter=data.within.T @ data.within,
        alone=alone,
        known_targets=prior.targets,
    )
    evidence = compute_expression_evidence(screen.values, data.group[data.condition])
    return GenesFit(*found, evidence)


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
    covariance = compute_denoised_covariance(counts, data.scale)
    evidence = judge_on_held_out_cells(compute_target_evidence(counts), counts, rng)
    regularised = covariance.regularised()
    reliability = np.clip(covariance.reliability, MIN_RELIABILITY, 1.0)
    statistics = _denoised_statistics(data, regularised, float(np.median(reliability)) ** 2)
    structure = find_structure(
        statistics,
        rng,
        settings=search.settings(options.intervention),
        prior=prior,
        graph=None if options.structure == "search" else prior.required,
        callback=callback,
    )
    found = fit_named_nodes(
        data.screen(),
        structure,
        mechanism,
        rng,
        scatter=statistics.within.sum(axis=-1)[:-1, :-1],
        alone=data.single_screen(features),
        known_targets=prior.targets,
        measured_covariance=covariance.measured,
    )
    between = _between(data)
    prior_covariance = regularised + between
    noise = np.diag(np.maximum(np.diag(covariance.measured - regularised), 0.0))
    gain = np.linalg.solve(prior_covariance + noise, prior_covariance)
    buffers = {
        "gain": gain,
        "posterior_variance": np.maximum(np.diag(prior_covariance - prior_covariance @ gain), 1e-8),
        "median_library": np.array(typical),
    }
    return GenesFit(*found, evidence), buffers


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
    """Measure how far each node moved by itself, in each group at its highest dose.

    Parameters
    ----------
    fit
        The fit.
    data
        The cells.

    Returns
    -------
    Mean residual, of targets and of other nodes, shape ``(n_groups, n_nodes)``.
    """
    residual = data.screen().condition_means(compute_residuals(fit.model.mechanism, data.values))
    shifts = np.zeros(fit.structure.is_target.shape)
    for condition in np.argsort(data.log10_dose, kind="stable"):
        if data.group[condition] >= 0:
            shifts[data.group[condition]] = residual[condition]
    return shifts


def _with_noise_between(data: GenesData, structure: Structure, *, is_linear: bool) -> Structure:
    """Read noise off the profiles of different conditions, most of which leave a gene alone.

    With one row per condition each row of a target fits exactly, and the variance that is left
    between the others is that of few. The median over all of them is robust to the targets.
    """
    basis = SplineBasis.fit(data.values, is_linear=is_linear)
    residual = data.values - basis.expand(data.values) @ structure.coefficients
    noise = np.maximum(structure.noise_variance, median_deviation(residual) ** 2)
    # What the search said of targets rested on the smaller noise; `reassess_targets` says it anew.
    nothing = np.zeros(structure.is_target.shape)
    return replace(
        structure,
        noise_variance=noise,
        target_evidence=nothing,
        target_probability=nothing + 0.5,
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
