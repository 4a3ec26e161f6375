import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.benchmark import _real_graphs
from scgim.benchmark._real_graphs import score_dream4, score_sachs

# Each perturbation has one profile, which is said of every network.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*conditions have a single cell", "ignore:.*has fewer than 3 cells"
)
GENES = [f"G{gene}" for gene in range(6)]
CHAIN = pd.DataFrame({"source": GENES[:-1], "target": GENES[1:]})


def draw_network(size, index):
    """Profiles of a chain: one wild type, and every gene knocked out and down once."""
    rng = np.random.default_rng(index)
    rows = [("wildtype", "control", 1.0, -1)]
    rows += [("knockout", gene, 0.0, node) for node, gene in enumerate(GENES)]
    rows += [("knockdown", gene, 0.5, node) for node, gene in enumerate(GENES)]
    values = np.ones((len(rows), 6))
    for row, (_, _, level, hit) in enumerate(rows):
        for node in range(6):
            values[row, node] = 0.3 + 0.7 * values[row, node - 1] if node else 1.0
            values[row, node] *= level if node == hit else 1.0
    obs = pd.DataFrame(rows, columns=["experiment", "perturbation", "level", "hit"])
    obs.index = obs.index.astype(str)
    obs["dose"] = np.where(obs["hit"] < 0, 0.0, 1.0 - obs["level"])
    network = ad.AnnData(
        values + 0.01 * rng.random(values.shape), obs=obs, var=pd.DataFrame(index=GENES)
    )
    network.uns["consensus_edges"] = CHAIN
    return network


def draw_proteins():
    """A chain of proteins; two reagents lower one protein each."""
    rng = np.random.default_rng(0)
    label = np.repeat(["cd3cd28", "A", "B"], [400, 200, 200])
    values = rng.standard_normal((800, 6))
    values[label == "A", 1] -= 2.0
    values[label == "B", 3] -= 2.0
    for node in range(1, 6):
        values[:, node] += 0.8 * values[:, node - 1]
    obs = pd.DataFrame({"perturbation": label}, index=[f"c{cell}" for cell in range(800)])
    adata = ad.AnnData(values, obs=obs, var=pd.DataFrame(index=GENES), layers={"log1p": values})
    for key in ("consensus_edges", "edges_bnlearn17", "edges_cmu20"):
        adata.uns[key] = CHAIN
    adata.uns["known_targets"] = pd.DataFrame(
        {"perturbation": ["A", "B"], "target": ["G1", "G3"], "sign": [-1, -1]}
    )
    return adata


@pytest.fixture(scope="module")
def dream4_scores():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_real_graphs, "dream4", draw_network)
        patch.setattr(_real_graphs, "NETWORKS", {6: (1, 2)})
        return score_dream4()


@pytest.fixture(scope="module")
def sachs_scores():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_real_graphs, "sachs2005", draw_proteins)
        return score_sachs()


def test_targets_of_all_networks_of_a_size_are_pooled(dream4_scores):
    assert set(dream4_scores.rankings) == {"6 genes, knock-outs", "6 genes, knock-downs"}
    rankings, truth = dream4_scores.rankings["6 genes, knock-outs"]
    assert truth.shape == rankings["-log fold change"].shape == (12, 6)
    assert (rankings["-log fold change"].argmax(axis=1) == truth.argmax(axis=1)).all()


def test_edges_of_each_network_are_scored_beside_baselines(dream4_scores):
    edges = dream4_scores.edges
    assert edges.groupby("graph")["method"].nunique().to_dict() == {"size 6, 1": 3, "size 6, 2": 3}
    assert (edges["average_precision"] > edges["chance"]).all()
    assert edges["edge_f1"].notna().sum() == 2


def test_proteins_are_compared_with_three_graphs(sachs_scores):
    edges = sachs_scores.edges.set_index(["graph", "method"])
    assert len(edges) == 12
    assert edges.loc[("consensus", "search"), "edge_f1"] == pytest.approx(1.0)


def test_targets_of_reagents_are_found_by_search(sachs_scores):
    rankings, truth = sachs_scores.rankings["11 proteins"]
    assert (
        rankings["evidence, direction unknown"][:2].argmax(axis=1) == truth.argmax(axis=1)
    ).all()
