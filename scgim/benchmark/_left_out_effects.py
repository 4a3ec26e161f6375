"""Leave one perturbation out: predict what else a knock-out moves from its target alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim.metrics import shift_r2
from scgim.scm import (
    CountScreen,
    DenoisedCovariance,
    PriorKnowledge,
    SearchSettings,
    SufficientStatistics,
    compute_count_statistics,
    compute_denoised_covariance,
    control_deviation,
    search_structure,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SETTINGS = SearchSettings(n_restarts=10, n_walk_steps=1)
GRAPH = "causal graph"


def score_left_out_effects(
    screen: CountScreen, is_target: NDArray[np.bool_], rng: np.random.Generator
) -> pd.DataFrame:
    """Predict the shift of all other genes from that of the target, graph and baselines alike.

    The graph is searched on counts free of counting noise, without the left-out perturbation; the
    shift is the target's own times its total effects. Regressions use the covariance within
    perturbations, with and without counting noise.

    Parameters
    ----------
    screen
        The counts.
    is_target
        Known targets, shape ``(n_perturbations, n_genes)``.
    rng
        Source of restarts.

    Returns
    -------
    One row per method: ``method``, ``r2`` pooled over perturbations with one measured target
    (uncentred, 0 is "no effect"), and ``n_edges`` of the graph, mean over perturbations.
    """
    mean, deviation = control_deviation(screen)
    values = (screen.log_expression(screen.counts) - mean) / deviation
    control = values[screen.is_control].mean(axis=0)
    shift = np.stack(
        [values[screen.perturbation == code].mean(axis=0) for code in range(len(is_target))]
    )
    shift = shift - control
    rows = np.flatnonzero(is_target.sum(axis=1) == 1)
    targets = is_target[rows].argmax(axis=1)
    covariance = compute_denoised_covariance(screen, deviation)
    predicted = _baselines(shift, covariance, rows, targets)
    effects, n_edges = _graph_effects(screen, is_target, rows, rng)
    predicted[GRAPH] = effects * shift[rows, targets][:, None]
    others = np.ones((len(rows), is_target.shape[1]), dtype=bool)
    others[np.arange(len(rows)), targets] = False
    return pd.DataFrame(
        [
            {
                "method": name,
                "r2": shift_r2(values, shift[rows], genes=others),
                "n_edges": n_edges if name == GRAPH else None,
            }
            for name, values in predicted.items()
        ]
    )


def _baselines(
    shift: NDArray[np.float64],
    covariance: DenoisedCovariance,
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    own = shift[rows, targets][:, None]
    denoised, measured = covariance.denoised, covariance.measured
    total = shift.sum(axis=0)
    return {
        "regression, free of counting noise": own
        * denoised[targets]
        / denoised[targets, targets][:, None],
        "regression": own * measured[targets] / measured[targets, targets][:, None],
        "mean of the other perturbations": (total - shift[rows]) / (len(shift) - 1),
        "no effect": np.zeros_like(shift[rows]),
    }


def _graph_effects(
    screen: CountScreen,
    is_target: NDArray[np.bool_],
    rows: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], float]:
    """Total effects of each target on all genes, by a graph that never saw its perturbation."""
    statistics = compute_count_statistics(screen)
    n_genes = statistics.n_nodes
    known = np.where(is_target, 1, -1)
    effects, sizes = [], []
    for row in rows:
        prior = PriorKnowledge.none(n_genes, 0)
        prior = PriorKnowledge(
            prior.forbidden, prior.required, prior.edge_log_odds, np.delete(known, row, axis=0)
        )
        found = search_structure(_without(statistics, row), rng, settings=SETTINGS, prior=prior)
        total = np.linalg.inv(np.eye(n_genes) - found.coefficients[:n_genes])
        effects.append(total[is_target[row].argmax()])
        sizes.append(found.adjacency.sum())
    return np.stack(effects), float(np.mean(sizes))


def _without(statistics: SufficientStatistics, row: int) -> SufficientStatistics:
    return SufficientStatistics(
        within=np.delete(statistics.within, row, axis=-1),
        between=np.delete(statistics.between, row, axis=-1),
        n_cells=np.delete(statistics.n_cells, row),
        target_penalty=np.delete(statistics.target_penalty, row),
        n_nodes=statistics.n_nodes,
        basis=statistics.basis,
    )
