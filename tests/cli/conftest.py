import logging

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scvi

from scgim.evaluation.report._artifacts import OutputFolder


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def folder(tmp_path):
    return OutputFolder(tmp_path / "out")


@pytest.fixture(autouse=True, scope="module")
def restore_settings_of_the_process():
    """The commands set up their own process; here that is the tests'."""
    verbosity, backend = scvi.settings.verbosity, mpl.get_backend()
    names = ("lightning", "lightning.pytorch", "lightning.fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    scvi.settings.verbosity = verbosity
    mpl.use(backend)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


class TableModel:
    """Tables as a trained model returns them: two drugs, two programs, in a basis of its own.

    ``program_0`` is the true ``node_1`` with the sign turned, ``program_1`` the true ``node_0``.
    """

    nodes = np.random.default_rng(0).normal(size=(50, 2))

    @property
    def history(self):
        return {"elbo_train": pd.DataFrame({"elbo_train": [3.0, 2.0]})}

    def get_latent_representation(self):
        return np.column_stack([-self.nodes[:, 1], self.nodes[:, 0]])

    def get_causal_graph(self):
        names = ["program_0", "program_1"]
        return pd.DataFrame([[0.0, 0.0], [0.8, 0.0]], index=names, columns=names)

    def get_gene_programs(self):
        return pd.DataFrame(
            [[1.0, 0.0], [0.0, -1.0]], index=["g1", "g2"], columns=["program_0", "program_1"]
        )

    def get_intervention_targets(self, perturbations=("A", "B")):
        effects = {"A": (-2.0, 0.0), "B": (0.0, 1.0)}
        rows = [
            (name, f"program_{node}", effect, effect - 0.5, effect + 1.0, effect != 0, False)
            for name in perturbations
            for node, effect in enumerate(effects[name])
        ]
        columns = ["perturbation", "node", "effect", "lower", "upper", "is_target", "ambiguous"]
        return pd.DataFrame(rows, columns=columns)

    def get_dose_response(self, doses):
        tables = []
        for dose in doses:
            table = self.get_intervention_targets().drop(columns=["is_target", "ambiguous"])
            strength = dose / (dose + 1.0)
            columns = ["effect", "lower", "upper"]
            tables.append(
                table.assign(dose=dose, **{name: table[name] * strength for name in columns})
            )
        response = pd.concat(tables, ignore_index=True)
        response.attrs["ec50"] = {"A": 1.0, "B": 1.0}
        return response


@pytest.fixture
def model():
    return TableModel()
