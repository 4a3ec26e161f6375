import numpy as np
import pandas as pd
import scvi

from scgim.benchmark._named_genes import to_array, train_named_genes
from scgim.model import GraphSearch

SETUP = {"perturbation_key": "perturbation", "control": "control"}


def test_columns_are_read_in_the_order_that_is_asked_for():
    table = pd.DataFrame(
        {
            "perturbation": ["a", "a", "b", "b"],
            "node": ["x", "y", "x", "y"],
            "evidence": [1.0, 2.0, 3.0, 4.0],
            "kind": ["", "shift", "", ""],
        }
    )
    found = to_array(table, "evidence", ["b", "a", "b"], ["y", "x"])
    assert found.tolist() == [[4.0, 3.0], [2.0, 1.0], [4.0, 3.0]]
    assert to_array(table, "kind", ["a"], ["x", "y"]).tolist() == [["", "shift"]]


def test_training_leaves_the_screen_and_the_global_seed_as_they_were(knock_outs):
    screen, before = knock_outs[:, :5].copy(), scvi.settings.seed
    obs, uns = screen.obs.copy(), set(screen.uns)
    search = GraphSearch(n_restarts=0, n_walk_steps=1)
    first, second = (train_named_genes(screen, SETUP, {}, search=search, seed=1) for _ in range(2))
    pd.testing.assert_frame_equal(screen.obs, obs)
    assert set(screen.uns) == uns
    assert scvi.settings.seed == before
    tables = [model.get_intervention_targets()["evidence"] for model in (first, second)]
    np.testing.assert_array_equal(*tables)
