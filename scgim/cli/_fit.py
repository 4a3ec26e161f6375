"""Training on a user's file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd
import scvi

from scgim._files import write_cells
from scgim.cli._model_figures import (
    add_dose_response,
    add_graph,
    add_programs,
    add_targets,
    add_training,
    dose_grid,
)
from scgim.cli._quiet import quiet_packages
from scgim.cli._screen_file import describe_run, read_screen
from scgim.evaluation.report._artifacts import OutputFolder
from scgim.evaluation.report._csv import write_csv
from scgim.model import GIM, GraphSearch
from scgim.model.host._safe_files import DESCRIPTION_NAME
from scgim.model.host._training_checkpoint import CheckpointError

if TYPE_CHECKING:
    import anndata as ad
    from rich.console import Console

    from scgim.module import GeneLikelihood


@dataclass(frozen=True)
class FitSettings:
    """What ``scgim fit`` was asked for.

    Attributes
    ----------
    perturbation
        Column of ``obs`` that names the perturbation.
    control
        Label of the control cells.
    dose
        Column of ``obs`` with the dose.
    features
        Entry of ``uns`` with the perturbation features, or a CSV file.
    batch
        Column of ``obs`` with the batch.
    layer
        Layer with the counts.
    causal_space
        What the nodes are.
    likelihood
        Likelihood of the expression.
    n_nodes
        Number of nodes, None for the model's default.
    edges
        CSV file of likely edges between genes.
    max_epochs
        Passes over the cells, None for the model's default.
    checkpoint
        Whether to keep the last epoch, to go on from there after a stop.
    seed
        Seed of initialisation and training.
    """

    perturbation: str
    control: str
    dose: str | None = None
    features: str | None = None
    batch: str | None = None
    layer: str | None = None
    causal_space: Literal["genes", "programs", "latent"] = "programs"
    likelihood: GeneLikelihood = "nb"
    n_nodes: int | None = None
    edges: Path | None = None
    max_epochs: int | None = None
    checkpoint: bool = True
    seed: int = 0


def run_fit(file: Path, out: Path, settings: FitSettings, console: Console) -> None:
    """Train, and write model, annotated data, tables, figures and a report.

    Parameters
    ----------
    file
        AnnData file.
    out
        Folder to write.
    settings
        What was asked for.
    console
        Where to print.
    """
    start = time.perf_counter()
    quiet_packages()
    scvi.settings.seed = settings.seed
    adata, features_key = read_screen(file, settings)
    GIM.setup_anndata(
        adata,
        perturbation_key=settings.perturbation,
        control=settings.control,
        dose_key=settings.dose,
        features_key=features_key,
        batch_key=settings.batch,
        layer=settings.layer,
    )
    model = GIM(
        adata,
        causal_space=settings.causal_space,
        gene_likelihood=settings.likelihood,
        n_nodes=settings.n_nodes,
    )
    search = None if settings.edges is None else GraphSearch(edges=pd.read_csv(settings.edges))
    console.print(f"[bold]1/2[/] Training on {adata.n_obs} cells x {adata.n_vars} genes")
    checkpoint = out.with_name(f"{out.resolve().name}-checkpoint")
    train = partial(model.train, max_epochs=settings.max_epochs, search=search)
    if settings.checkpoint and model.space.trains_weights:
        _train_or_go_on(train, checkpoint, console)
    else:
        train()
    console.print(f"[bold]2/2[/] Writing {out}/")
    folder = OutputFolder(out)
    model.save(folder.path / "model")
    _write_tables(folder, model, adata, settings)
    model.annotate(adata)
    write_cells(adata, folder.path / "annotated.h5ad")
    report = folder.write_report(
        f"scgim fit: {file.name}",
        _summary(adata, settings, len(model.node_names_)),
        describe_run(file, settings) | {"seconds": f"{time.perf_counter() - start:.0f}"},
    )
    if settings.checkpoint:  # of this training, which is over
        shutil.rmtree(checkpoint, ignore_errors=True)
    console.print(f"Done in {time.perf_counter() - start:.0f} s. Open {report} in a browser.")


def _train_or_go_on(train: Callable[..., None], checkpoint: Path, console: Console) -> None:
    """Go on from the last epoch of the same command, if it was stopped; else begin."""
    if (checkpoint / DESCRIPTION_NAME).is_file():
        try:
            console.print(f"Going on from the last epoch in {checkpoint}/")
            train(resume=checkpoint)
        except CheckpointError as error:
            console.print(f"Beginning anew. {error}")
        else:
            return
    train(checkpoint=checkpoint)


def _write_tables(
    folder: OutputFolder, model: GIM, adata: ad.AnnData, settings: FitSettings
) -> None:
    """Write the model's tables as CSV and draw them."""
    tables = folder.path / "tables"
    targets, graph = model.get_intervention_targets(), model.get_causal_graph()
    programs = model.get_gene_programs()
    write_csv(targets, tables / "intervention_targets.csv", index=False)
    write_csv(graph, tables / "causal_graph.csv")
    write_csv(programs, tables / "gene_programs.csv")
    add_training(folder, model)
    add_targets(folder, targets)
    if settings.dose is not None:
        response = model.get_dose_response(doses=dose_grid(adata.obs[settings.dose]))
        write_csv(response, tables / "dose_response.csv", index=False)
        add_dose_response(folder, response)
    add_graph(folder, graph)
    if settings.causal_space != "genes":  # a gene is its own program
        add_programs(folder, programs)


def _summary(adata: ad.AnnData, settings: FitSettings, n_nodes: int) -> list[str]:
    n_perturbations = adata.obs[settings.perturbation].nunique() - 1
    return [
        (
            f"A generative intervention model with {n_nodes} nodes, trained on "
            f"{adata.n_obs} cells, {adata.n_vars} genes and {n_perturbations} perturbations."
        ),
        (
            "Targets and edges are what the model found most plausible under its assumptions, not "
            "what an experiment has shown. Train with a few seeds and trust what stays."
        ),
    ]
