import numpy as np
import pytest

from scgim.benchmark._left_out_effects import score_left_out_effects
from scgim.scm import CountScreen


@pytest.fixture(scope="module")
def table():
    """Counts of a chain of six genes; each of the first four is knocked out."""
    rng = np.random.default_rng(0)
    perturbation = np.repeat(np.arange(-1, 4), [2000, 300, 300, 300, 300])
    noise = 0.5 * rng.standard_normal((len(perturbation), 6))
    for target in range(4):
        noise[perturbation == target, target] -= 1.0
    chain = np.zeros((6, 6))
    chain[np.arange(5), np.arange(1, 6)] = 0.8
    counts = rng.poisson(np.exp(1.5 + noise @ np.linalg.inv(np.eye(6) - chain)))
    screen = CountScreen(counts, np.ones(len(counts)), perturbation, np.zeros((len(counts), 0)))
    return score_left_out_effects(screen, np.eye(4, 6, dtype=bool), rng).set_index("method")


def test_no_effect_scores_zero(table):
    assert table.loc["no effect", "r2"] == 0.0


def test_graph_predicts_what_it_never_saw_where_the_world_is_a_graph(table):
    assert table.loc["causal graph", "r2"] > 0.6
    assert table.loc["causal graph", "r2"] > table.loc["regression", "r2"]
    assert table.loc["causal graph", "n_edges"] >= 5


def test_all_methods_are_in_the_table(table):
    assert len(table) == 5
    assert table["r2"].notna().all()
