"""Screens, training and outputs of the stored models; as a program, store models and outputs anew.

Run it only when outputs are meant to change: `python tests/model/store_outputs.py`, with the names
of kinds to store only these.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scvi
import torch
from threadpoolctl import threadpool_limits

from scgim.datasets import GenesWorld, ProgramsWorld
from scgim.model import GIM, GraphSearch

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

STORED = Path(__file__).with_name("stored")
SETUP = {
    "perturbation_key": "drug",
    "control": "vehicle",
    "dose_key": "dose",
    "features_key": "drug_features",
}
MODELS = {
    "programs": {"causal_space": "programs", "n_nodes": 4, "n_hidden": 16, "n_layers": 1},
    "latent": {"causal_space": "latent", "n_nodes": 4, "n_hidden": 16, "n_layers": 1},
    "genes": {"causal_space": "genes", "gene_likelihood": "normal"},
    "gene_counts": {"causal_space": "genes", "gene_likelihood": "nb"},
}
KINDS = tuple(MODELS)
PICKLED = "programs_pickled"
N_EPOCHS = {"programs": 60, "latent": 60}
TRAINING = {
    "accelerator": "cpu",
    "batch_size": 128,
    "early_stopping": False,
    "enable_progress_bar": False,
    "train_size": 0.8,
}
N_PREDICTED = 2000
N_CONTROLS = 20


def make_screen(kind: str) -> ad.AnnData:
    """Simulate the screen of a kind of model, the same cells each time."""
    if kind in N_EPOCHS:
        return _programs_world(kind).screen()
    adata = _genes_world().screen()
    if kind == "gene_counts":
        rng = np.random.default_rng(0)
        adata.X = rng.poisson(np.exp(2.5 + 0.5 * adata.X)).astype(np.float32)
        adata.obs["size"] = 1000.0
    return adata


def _programs_world(kind: str) -> ProgramsWorld:
    """Draw a world in which models of the kind find the same nodes whatever their training seed."""
    return ProgramsWorld(
        seed=6 if kind == "programs" else 3,
        n_nodes=4,
        n_genes=40,
        n_classes=4,
        n_drugs=8,
        n_unseen=2,
        n_sums=1,
        n_interior=1,
        n_top=1,
        n_control=400,
        n_cells=25,
    )


def _genes_world() -> GenesWorld:
    return GenesWorld(seed=1, n_nodes=12, n_drugs=10, n_unseen=2, n_control=400, graph="er1")


def train(kind: str, seed: int = 0) -> GIM:
    """Train a model of a kind from scratch."""
    adata = make_screen(kind)
    GIM.setup_anndata(adata, **SETUP, size_factor_key="size" if kind == "gene_counts" else None)
    before = scvi.settings.seed
    scvi.settings.seed = seed
    try:
        model = GIM(adata, **MODELS[kind])
        if kind in N_EPOCHS:
            model.train(N_EPOCHS[kind], **TRAINING)
        else:
            model.train(search=GraphSearch(n_restarts=4), enable_progress_bar=False)
    finally:
        scvi.settings.seed = before
    return model


def conditions(model: GIM) -> list[tuple[str, float]]:
    """List seen perturbations at doses inside and above the range, a pair, and an unseen one."""
    doses = np.unique(model.adata.obs.dose)[1:]
    drugs = sorted(set(model.adata.obs.drug) - {"vehicle"})
    unseen = [d for d in model.adata.uns["drug_features"].index if d not in drugs]
    middle, above = float(np.sqrt(doses[1] * doses[2])), float(1.5 * doses[-1])
    return [
        *[(drug, float(doses[-1])) for drug in drugs],
        (drugs[0], middle),
        (drugs[1], above),
        (f"{drugs[0]}+{drugs[1]}", float(doses[-1])),
        *[(drug, float(doses[-1])) for drug in unseen],
    ]


def outputs(model: GIM) -> dict[str, np.ndarray]:
    """Collect what a trained model gives; keys are ``output/part``."""
    asked = conditions(model)
    shift = model.predict_shift(asked)
    response = model.get_dose_response()
    ec50 = {name: value["ec50"] for name, value in response.attrs["ec50"].items()}
    found = {
        "screen/total": np.asarray(model.adata.X.sum(0), dtype=np.float64).ravel(),
        **_columns("targets", model.get_intervention_targets()),
        **{
            f"graph/{kind}": model.get_causal_graph(kind).to_numpy(float)
            for kind in ("weight", "probability", "ambiguous")
        },
        "shift/mean": np.asarray(shift.X),
        "shift/lower": shift.layers["lower"],
        "shift/upper": shift.layers["upper"],
        "shift/is_seen": shift.obs.is_seen.to_numpy(bool),
        **_columns("dose_response", response),
        "ec50/value": np.array(list(ec50.values())),
        "hill/value": np.array(list(response.attrs["hill"].values())),
        "programs/value": model.get_gene_programs().to_numpy(),
        "latent/value": model.get_latent_representation()[::20],
    }
    return found | _cells(model, asked)


def _columns(name: str, table: pd.DataFrame) -> dict[str, np.ndarray]:
    return {
        f"{name}/{column}": values.to_numpy(str if values.dtype.kind not in "fb" else None)
        for column, values in table.items()
    }


def _cells(model: GIM, asked: list[tuple[str, float]]) -> dict[str, np.ndarray]:
    """Summarise cells that were drawn, which change with the random numbers."""
    control = model.adata[model.adata.obs.drug == "vehicle"][:N_CONTROLS].copy()
    node = model.node_names_[0]
    drawn = {
        "predict": model.predict(asked, n_cells=N_PREDICTED, seed=0),
        "do_shift": model.do({node: 1.5}, n_cells=N_PREDICTED, seed=0),
        "do_set": model.do({node: -1.0}, kind="set", n_cells=N_PREDICTED, seed=0),
        "do_scale": model.do({node: 2.0}, kind="scale", n_cells=N_PREDICTED, seed=0),
    }
    found = {
        f"{name}/{part}": value
        for name, cells in drawn.items()
        for part, value in summarise(cells, N_PREDICTED).items()
    }
    moved = {
        "predict": model.predict(asked[:2], adata=control, output="normalized"),
        "do": model.do({node: 1.5}, adata=control, output="normalized"),
        "nodes": model.predict(asked[:1], adata=control, output="nodes"),
    }
    return found | {f"moved_control/{name}": dense(cells) for name, cells in moved.items()}


def dense(cells: ad.AnnData) -> np.ndarray:
    """Expression as an array."""
    values = cells.X if isinstance(cells.X, np.ndarray) else cells.X.toarray()
    return values.astype(np.float64)


def summarise(cells: ad.AnnData, n_cells: int) -> dict[str, np.ndarray]:
    """Mean and standard deviation per condition and gene, with their standard errors."""
    x = dense(cells).reshape(-1, n_cells, cells.n_vars)
    mean, sd = x.mean(1), x.std(1)
    fourth = ((x - mean[:, None]) ** 4).mean(1)
    sd_error = np.sqrt((fourth - sd**4) / n_cells) / (2 * np.maximum(sd, 1e-9))
    return {"mean": mean, "sd": sd, "mean_error": sd / np.sqrt(n_cells), "sd_error": sd_error}


def store(kind: str) -> None:
    """Train and save a model of a kind, and what it gives."""
    model = train(kind)
    model.save(STORED / kind, overwrite=True)
    if kind == "programs":
        model.save(STORED / PICKLED, overwrite=True, safe=False)
    found = outputs(model)
    rounded = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in found.items()}
    np.savez_compressed(STORED / f"{kind}.npz", **rounded)


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for name in sys.argv[1:] or KINDS:
            store(name)
