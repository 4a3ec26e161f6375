"""Screens whose graph is known or agreed on: DREAM4 (simulated) and Sachs (proteins)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from scgim.benchmark._target_rankings import (
    EVIDENCE,
    KNOCK_OUT,
    UNORIENTED,
    known_targets,
    profile_rankings,
)
from scgim.datasets import dream4, sachs2005
from scgim.metrics import edge_f1, graph_average_precision, structural_hamming_distance
from scgim.scm import (
    PriorKnowledge,
    SearchSettings,
    Structure,
    compute_expression_evidence,
    compute_sufficient_statistics,
    search_structure,
)

if TYPE_CHECKING:
    import anndata as ad
    from numpy.typing import NDArray

NETWORKS = {10: (1, 2, 3, 4, 5), 100: (1, 2)}
EXPERIMENTS = {"knockout": "knock-outs", "knockdown": "knock-downs"}
CONSENSUS = {
    "consensus_edges": "consensus",
    "edges_bnlearn17": "17 edges (bnlearn)",
    "edges_cmu20": "20 edges (CMU)",
}
SACHS_CONTROL = "cd3cd28"
MAD_TO_SD = 1.4826


class GraphScores(NamedTuple):
    """Rankings of targets by panel, and scores of edges.

    Attributes
    ----------
    rankings
        Scores by method, and the true targets, by panel.
    edges
        One row per graph and method: ``graph``, ``method``, ``average_precision``, ``chance``, and
        where a graph was called ``edge_f1`` and ``shd``.
    """

    rankings: dict[str, tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]]
    edges: pd.DataFrame


def score_dream4() -> GraphScores:
    """Rank targets of knock-outs and knock-downs in the DREAM4 networks, and score edges.

    Every perturbation is one noisy profile. Edges are found from wild type, knock-outs and
    knock-downs with known targets, by search and by two baselines: correlation, and the z-score of
    what each knock-out moves.

    Returns
    -------
    Rankings pooled over the networks of a size, and edges.
    """
    rankings, edges = {}, []
    for size, indices in NETWORKS.items():
        networks = [dream4(size, index) for index in indices]
        for experiment, name in EXPERIMENTS.items():
            parts = [_rank_profiles(network, experiment) for network in networks]
            pooled = {key: np.vstack([part[key] for part in parts]) for key in parts[0]}
            truth = np.tile(np.eye(size, dtype=bool), (len(networks), 1))
            rankings[f"{size} genes, {name}"] = (pooled, truth)
        for index, network in zip(indices, networks, strict=True):
            edges.append(_score_edges_of_profiles(network).assign(graph=f"size {size}, {index}"))
    return GraphScores(rankings, pd.concat(edges, ignore_index=True))


def score_sachs() -> GraphScores:
    """Rank targets of reagents among 11 proteins, and compare edges with three consensus graphs.

    Returns
    -------
    Rankings (no sign: a reagent may raise or lower phosphorylation of its target) and edges.
    """
    adata = sachs2005()
    values = np.asarray(adata.layers["log1p"], dtype=float)
    label = adata.obs["perturbation"].astype(str).to_numpy()
    control = label == SACHS_CONTROL
    values = (values - values[control].mean(axis=0)) / values[control].std(axis=0)
    names = sorted(set(label) - {SACHS_CONTROL})
    code = np.where(control, -1, pd.Index(names).get_indexer(label))
    found = {
        "search": _search(values, code, SearchSettings(kind="shift")),
        "search, shift or hard": _search(values, code, SearchSettings(kind="auto")),
    }
    evidence = compute_expression_evidence(values, code)
    means = np.stack([values[code == index].mean(axis=0) for index in range(len(names))])
    rankings = {
        "|z specific|": np.abs(evidence.marginal),
        "|difference|": np.abs(means),
        "combined, unsigned": evidence.combine(),
        "residual": np.abs(evidence.residual),
        "search": found["search"].target_evidence,
    }
    genes = list(adata.var_names)
    truth = known_targets(adata, names, genes)
    by_reagent = np.zeros((len(genes), len(genes)))
    for row, target in np.argwhere(truth):
        by_reagent[target] += np.abs(means[row])
    baselines = {
        "correlation of control cells": np.corrcoef(values[control], rowvar=False),
        "z-score of perturbations": by_reagent,
    }
    edges = [
        _edge_table(found, baselines, _read_graph(adata, key, genes)).assign(graph=name)
        for key, name in CONSENSUS.items()
    ]
    return GraphScores({"11 proteins": (rankings, truth)}, pd.concat(edges, ignore_index=True))


def _profiles(network: ad.AnnData, experiment: str) -> NDArray[np.float64]:
    """Profiles of one kind of experiment, in the order of the genes."""
    rows = (network.obs["experiment"] == experiment).to_numpy()
    order = pd.Index(network.obs["perturbation"][rows].astype(str)).get_indexer(network.var_names)
    return np.asarray(network.X, dtype=float)[rows][order]


def _wild_type(network: ad.AnnData) -> NDArray[np.float64]:
    rows = (network.obs["experiment"] == "wildtype").to_numpy()
    return np.asarray(network.X, dtype=float)[rows]


def _rank_profiles(network: ad.AnnData, experiment: str) -> dict[str, NDArray[np.float64]]:
    profiles, control = _profiles(network, experiment), _wild_type(network)
    code = np.append(np.full(len(control), -1), np.arange(len(profiles)))
    evidence = compute_expression_evidence(np.vstack([control, profiles]), code)
    return {
        EVIDENCE: evidence.combine(sign=KNOCK_OUT),
        UNORIENTED: evidence.combine(),
    } | profile_rankings(profiles, control.mean(axis=0), evidence.marginal)


def _score_edges_of_profiles(network: ad.AnnData) -> pd.DataFrame:
    knocked = [_profiles(network, experiment) for experiment in EXPERIMENTS]
    values = np.vstack([_wild_type(network), *knocked])
    center = np.median(values, axis=0)
    spread = MAD_TO_SD * np.median(np.abs(values - center), axis=0)
    values = (values - center) / np.maximum(spread, 1e-6)
    n_genes = network.n_vars
    code = np.append(np.full(len(values) - 2 * n_genes, -1), np.tile(np.arange(n_genes), 2))
    # All genes are candidates: with one profile each there is nothing to screen by.
    settings = SearchSettings(n_restarts=8, n_candidates=n_genes)
    found = {"search": _search(values, code, settings, np.eye(n_genes, dtype=np.int64))}
    moved = sum(np.abs(part - center) / np.maximum(spread, 1e-6) for part in knocked)
    baselines = {
        "correlation of all profiles": np.corrcoef(values, rowvar=False),
        "z-score of perturbations": np.asarray(moved),
    }
    truth = _read_graph(network, "consensus_edges", list(network.var_names))
    return _edge_table(found, baselines, truth)


def _search(
    values: NDArray[np.float64],
    code: NDArray[np.int64],
    settings: SearchSettings,
    targets: NDArray[np.int64] | None = None,
) -> Structure:
    n_perturbations = int(code.max()) + 1
    prior = PriorKnowledge.none(values.shape[1], n_perturbations)
    if targets is not None:
        prior.targets[:] = targets
    # A perturbation that has several profiles has several conditions.
    condition, perturbation = _conditions(code) if targets is not None else (code + 1, None)
    owner = np.arange(-1, n_perturbations) if perturbation is None else perturbation
    statistics = compute_sufficient_statistics(values, condition, owner)
    return search_structure(statistics, np.random.default_rng(0), settings=settings, prior=prior)


def _conditions(code: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give every treated profile a condition of its own."""
    condition = np.zeros(len(code), dtype=np.int64)
    treated = np.flatnonzero(code >= 0)
    condition[treated] = 1 + np.arange(len(treated))
    return condition, np.append(-1, code[treated])


def _read_graph(adata: ad.AnnData, key: str, genes: list[str]) -> NDArray[np.bool_]:
    table = adata.uns[key]
    graph = np.zeros((len(genes), len(genes)), dtype=bool)
    index = pd.Index(genes)
    graph[index.get_indexer(table["source"]), index.get_indexer(table["target"])] = True
    return graph


def _edge_table(
    found: dict[str, Structure],
    baselines: dict[str, NDArray[np.float64]],
    truth: NDArray[np.bool_],
) -> pd.DataFrame:
    rows: list[dict[str, object]] = [
        {
            "method": name,
            "average_precision": graph_average_precision(structure.edge_probability, truth),
            "edge_f1": edge_f1(structure.adjacency, truth),
            "shd": structural_hamming_distance(structure.adjacency, truth),
        }
        for name, structure in found.items()
    ]
    rows += [
        {"method": name, "average_precision": graph_average_precision(weight, truth)}
        for name, weight in baselines.items()
    ]
    size = len(truth)
    return pd.DataFrame(rows).assign(chance=float(truth.sum() / (size * (size - 1))))
