import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def targets():
    """Three perturbations on three nodes: A raises x, B lowers y, C raises x and (unsurely) z."""
    effect = pd.DataFrame(
        [[2.0, 0.1, 0.0], [0.2, -3.0, 0.1], [1.5, 0.0, 1.0]],
        index=["A", "B", "C"],
        columns=["x", "y", "z"],
    )
    tidy = effect.rename_axis("perturbation").reset_index()
    tidy = tidy.melt(id_vars="perturbation", var_name="node", value_name="effect")
    tidy["is_target"] = tidy["effect"].abs() > 0.5
    tidy["ambiguous"] = (tidy["perturbation"] == "C") & (tidy["node"] == "z")
    return tidy.sort_values(["perturbation", "node"], ignore_index=True)


@pytest.fixture
def chain():
    """x raises y, y lowers z, x weakly raises z."""
    nodes = ["x", "y", "z"]
    weights = np.array([[0.0, 1.0, 0.05], [0.0, 0.0, -0.5], [0.0, 0.0, 0.0]])
    return pd.DataFrame(weights, index=nodes, columns=nodes)


@pytest.fixture
def response():
    """Two perturbations, two nodes; Hill curves with slope 1."""
    doses = np.array([0.0, 0.1, 1.0, 10.0])
    ec50 = {"A": 1.0, "B": 0.5}
    top = {("A", "x"): 2.0, ("A", "y"): -0.5, ("B", "x"): 1.0, ("B", "y"): 0.1}
    tables = []
    for (perturbation, node), size in top.items():
        effect = size * doses / (doses + ec50[perturbation])
        table = pd.DataFrame({"dose": doses, "effect": effect})
        table = table.assign(lower=effect - 0.1, upper=effect + 0.1)
        tables.append(table.assign(perturbation=perturbation, node=node))
    tidy = pd.concat(tables, ignore_index=True)
    tidy.attrs["ec50"] = ec50
    return tidy
