"""Screens whose graph is known or agreed on: DREAM4 (simulated) and Sachs (proteins)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from scgim.benchmark._named_genes import to_array, train_named_genes
from scgim.benchmark._target_rankings import (
    EVIDENCE,
    KNOCK_OUT,
    UNORIENTED,
    known_targets,
    profile_rankings,
)
from scgim.datasets import dream4, sachs2005
from scgim.metrics import edge_f1, graph_average_precision, structural_hamming_distance
from scgim.model import GraphSearch
from scgim.scm.structure._target_evidence import median_deviation

if TYPE_CHECKING:
    import anndata as ad
    from numpy.typing import NDArray

    from scgim.model import GIM

NETWORKS = {10: (1, 2, 3, 4, 5), 100: (1, 2)}
EXPERIMENTS = {"knockout": "knock-outs", "knockdown": "knock-downs"}
CONSENSUS = {
    "consensus_edges": "consensus",
    "edges_bnlearn17": "17 edges (bnlearn)",
    "edges_cmu20": "20 edges (CMU)",
}
SACHS_CONTROL = "cd3cd28"
SACHS_SETUP = {
    "perturbation_key": "perturbation",
    "control": SACHS_CONTROL,
    "layer": "log1p",
}
DREAM4_SETUP = {"perturbation_key": "perturbation", "control": "control", "dose_key": "dose"}
NORMAL = {"gene_likelihood": "normal"}


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
    models = {
        "search": train_named_genes(adata, SACHS_SETUP, NORMAL),
        "search, shift or hard": train_named_genes(
            adata, SACHS_SETUP, NORMAL | {"intervention": "auto"}
        ),
    }
    names = list(models["search"].screen.table.perturbations)
    genes = list(adata.var_names)
    targets = models["search"].get_intervention_targets()
    marginal = to_array(targets, "marginal", names, genes)
    values = np.asarray(adata.layers["log1p"], dtype=float)
    label = adata.obs["perturbation"].astype(str).to_numpy()
    control = label == SACHS_CONTROL
    values = (values - values[control].mean(axis=0)) / values[control].std(axis=0)
    means = np.stack([values[label == name].mean(axis=0) for name in names])
    rankings = {
        UNORIENTED: to_array(targets, "evidence", names, genes),
        "probability": to_array(targets, "probability", names, genes),
        "residual": np.abs(to_array(targets, "residual", names, genes)),
        "|z specific|": np.abs(marginal),
        "|difference|": np.abs(means),
    }
    truth = known_targets(adata, names, genes)
    by_reagent = np.zeros((len(genes), len(genes)))
    for row, target in np.argwhere(truth):
        by_reagent[target] += np.abs(means[row])
    baselines = {
        "correlation of control cells": np.corrcoef(values[control], rowvar=False),
        "z-score of perturbations": by_reagent,
    }
    edges = [
        _edge_table(models, baselines, _read_graph(adata, key, genes)).assign(graph=name)
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
    """Rank targets by a model without a graph, as one profile each leaves it no other choice."""
    rows = network.obs["experiment"].isin(["wildtype", experiment]).to_numpy()
    names = list(network.var_names)
    of_model: dict[str, NDArray[np.float64]] = {}
    for ranking, direction in ((EVIDENCE, "lowers"), (UNORIENTED, "unknown")):
        setup = DREAM4_SETUP | {"perturbation_direction": direction}
        model = train_named_genes(
            network[rows], setup, NORMAL | {"structure": "given"}, search=GraphSearch(required=[])
        )
        targets = model.get_intervention_targets()
        of_model[ranking] = to_array(targets, "evidence", names, names)
    of_model["probability"] = to_array(targets, "probability", names, names)
    # Knock-outs lower their targets, so that the evidence is z relative to the others, turned around.
    specific = KNOCK_OUT * of_model[EVIDENCE]
    baselines = profile_rankings(
        _profiles(network, experiment), _wild_type(network).mean(axis=0), specific
    )
    return of_model | baselines


def _score_edges_of_profiles(network: ad.AnnData) -> pd.DataFrame:
    rows = network.obs["experiment"].isin(["wildtype", *EXPERIMENTS]).to_numpy()
    profiles, genes = network[rows], list(network.var_names)
    # All genes are candidates: with one profile each there is nothing to screen by.
    search = GraphSearch(
        n_restarts=8,
        n_candidates=len(genes),
        known_targets={gene: gene for gene in genes},
        has_off_targets=False,
    )
    model = train_named_genes(profiles, DREAM4_SETUP, NORMAL, search=search)
    values = np.asarray(profiles.X, dtype=float)
    center, spread = np.median(values, axis=0), np.maximum(median_deviation(values), 1e-6)
    moved = sum(np.abs(_profiles(network, kind) - center) / spread for kind in EXPERIMENTS)
    baselines = {
        "correlation of all profiles": np.corrcoef(values, rowvar=False),
        "z-score of perturbations": np.asarray(moved),
    }
    truth = _read_graph(network, "consensus_edges", genes)
    return _edge_table({"search": model}, baselines, truth)


def _read_graph(adata: ad.AnnData, key: str, genes: list[str]) -> NDArray[np.bool_]:
    table = adata.uns[key]
    graph = np.zeros((len(genes), len(genes)), dtype=bool)
    index = pd.Index(genes)
    graph[index.get_indexer(table["source"]), index.get_indexer(table["target"])] = True
    return graph


def _edge_table(
    models: dict[str, GIM],
    baselines: dict[str, NDArray[np.float64]],
    truth: NDArray[np.bool_],
) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for name, model in models.items():
        graph = model.get_causal_graph().to_numpy() != 0
        probability = model.get_causal_graph("probability").to_numpy()
        rows.append(
            {
                "method": name,
                "average_precision": graph_average_precision(probability, truth),
                "edge_f1": edge_f1(graph, truth),
                "shd": structural_hamming_distance(graph, truth),
            }
        )
    rows += [
        {"method": name, "average_precision": graph_average_precision(weight, truth)}
        for name, weight in baselines.items()
    ]
    size = len(truth)
    return pd.DataFrame(rows).assign(chance=float(truth.sum() / (size * (size - 1))))
