"""The demonstration: a simulated screen whose truth is known."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim import pl
from scgim._files import write_cells
from scgim.benchmark import ReplicateCeiling
from scgim.benchmark._held_out_truth import HeldOutTruth, project
from scgim.benchmark._mechanism_scores import MechanismScores
from scgim.cli._aligned import AlignedTables
from scgim.cli._model_figures import (
    add_dose_response,
    add_graph,
    add_programs,
    add_targets,
    add_training,
    dose_grid,
)
from scgim.cli._quiet import quiet_packages
from scgim.datasets import ProgramsWorld
from scgim.evaluation import (
    GIMPredictor,
    NearestPerturbation,
    NoEffect,
    Predictor,
    RidgeOnFeatures,
    SameDoseMean,
    TrainingScreen,
)
from scgim.evaluation.report._artifacts import OutputFolder
from scgim.evaluation.report._csv import write_csv
from scgim.evaluation.report._report import ReportTable

if TYPE_CHECKING:
    from anndata import AnnData
    from rich.console import Console

    from scgim.model import GIM

SPLITS = {
    "interior_dose": "dose between",
    "top_dose": "top dose",
    "unseen_drug": "new drug",
    "unseen_sum": "two classes",
}
N_SCORED_CELLS = 200
N_PREDICTED_CELLS = 100


@dataclass(frozen=True)
class DemoSettings:
    """Sizes of the demonstration: World P of the documentation, smaller.

    Attributes
    ----------
    seed
        Seed of the world, of the training and of the predicted cells.
    n_nodes
        Gene programs, of the world and of the model.
    n_genes
        Genes.
    n_control
        Control cells.
    n_cells
        Cells per condition.
    n_classes
        Mechanism classes of the drugs.
    n_drugs
        Training drugs.
    max_epochs
        Passes over the cells, None for the model's default.
    """

    seed: int = 0
    n_nodes: int = 8
    n_genes: int = 300
    n_control: int = 1000
    n_cells: int = 40
    n_classes: int = 6
    n_drugs: int = 24
    max_epochs: int | None = None

    def world(self) -> ProgramsWorld:
        """Make the world."""
        return ProgramsWorld(
            self.seed,
            n_nodes=self.n_nodes,
            n_genes=self.n_genes,
            n_control=self.n_control,
            n_cells=self.n_cells,
            n_classes=self.n_classes,
            n_drugs=self.n_drugs,
            n_unseen=6,
            n_sums=4,
            n_interior=6,
            n_top=4,
        )


def run_demo(out: Path, settings: DemoSettings, console: Console) -> None:
    """Simulate, train, predict and compare; write everything to a folder.

    Parameters
    ----------
    out
        Folder to write.
    settings
        Sizes.
    console
        Where to print.
    """
    start = time.perf_counter()
    quiet_packages()
    folder = OutputFolder(out)
    console.print("[bold]1/4[/] Simulating a drug screen whose mechanisms are known")
    world = settings.world()
    screen = TrainingScreen(world.screen())
    truth = HeldOutTruth.of(world, screen, n_cells=N_SCORED_CELLS)
    _describe(console, screen.adata, truth)
    console.print("[bold]2/4[/] Training scgim")
    gim = _fit_gim(screen, settings)
    console.print("[bold]3/4[/] Predicting what was held out, beside baselines")
    scores = _score_all(gim, world, screen, truth, settings)
    mechanism = _score_mechanism(MechanismScores(gim, world, screen), truth)
    for table in (scores, mechanism):
        folder.add_table(table)
        console.print(table.to_rich())
    console.print(f"[bold]4/4[/] Writing {out}/")
    _add_figures(folder, gim, screen.adata, truth)
    _write_data(folder, gim.model, screen.adata, truth)
    report = folder.write_report(
        "scgim demo: a simulated drug screen",
        _summary(screen.adata, truth),
        _describe_run(settings, time.perf_counter() - start),
    )
    console.print(f"Done in {time.perf_counter() - start:.0f} s. Open {report} in a browser.")


def _describe(console: Console, adata: AnnData, truth: HeldOutTruth) -> None:
    n_drugs = adata.obs["drug"].nunique() - 1
    console.print(
        f"    {adata.n_obs} cells, {adata.n_vars} genes, {n_drugs} drugs at up to "
        f"{adata.obs['dose'].nunique() - 1} doses; {len(truth.conditions)} conditions held out"
    )


def _fit_gim(screen: TrainingScreen, settings: DemoSettings) -> GIMPredictor:
    train = {"max_epochs": settings.max_epochs, "enable_progress_bar": True, "logger": None}
    gim = GIMPredictor("scgim", n_nodes=settings.n_nodes, train_kwargs=train, seed=settings.seed)
    gim.fit(screen)
    return gim


def _score_all(
    gim: GIMPredictor,
    world: ProgramsWorld,
    screen: TrainingScreen,
    truth: HeldOutTruth,
    settings: DemoSettings,
) -> ReportTable:
    """Score the model, the baselines and the ceiling on the held-out conditions."""
    others: list[Predictor] = [
        NoEffect(),
        SameDoseMean(),
        RidgeOnFeatures(),
        NearestPerturbation(),
        ReplicateCeiling(world, n_measured=settings.n_cells),
    ]
    for predictor in others:
        predictor.fit(screen)
    names = {"no effect": "control mean"}
    rows = {
        names.get(predictor.name, predictor.name): _score(predictor, screen, truth)
        for predictor in (gim, *others)
    }
    return ReportTable(
        "Held-out conditions: scgim beside baselines",
        pd.DataFrame.from_dict(rows, orient="index"),
        note=(
            "R² of the mean shift over the 50 genes that truly move most: 1 is perfect, 0 is no "
            "effect. E: normalised energy distance between predicted and true cells: 0 is a "
            "replicate of the experiment, 1 is no effect."
        ),
        emphasis=gim.name,
    )


def _score(predictor: Predictor, screen: TrainingScreen, truth: HeldOutTruth) -> dict[str, float]:
    r_squared = truth.score_shift(predictor.predict_shift(truth.conditions))
    cells = predictor.predict_cells(truth.conditions, truth.cells.shape[1], seed=1)
    distance = truth.score_cells(project(screen, cells))
    by_name = {f"R² {SPLITS[split]}": value for split, value in r_squared.items()}
    return by_name | {
        f"E {SPLITS[split]}": distance[split] for split in ("unseen_drug", "unseen_sum")
    }


def _score_mechanism(scores: MechanismScores, truth: HeldOutTruth) -> ReportTable:
    """Compare targets, graph and potency with the truth and with chance."""
    known = scores.world.truth
    is_edge, is_target = known["adjacency"] != 0, pd.DataFrame(known["targets"])
    n_pairs = is_edge.size - len(is_edge)
    precision = scores.target_average_precision()
    training = scores.world.training_conditions["drug"].unique()
    rows = {
        "targets of training drugs": (precision["training"], is_target.loc[training]),
        "targets of new drugs": (
            precision["unseen_drug"],
            is_target.loc[_drugs(truth, "unseen_drug")],
        ),
        "targets of sums of two classes": (
            precision["unseen_sum"],
            is_target.loc[_drugs(truth, "unseen_sum")],
        ),
    }
    values = {name: (value, is_so.to_numpy().mean()) for name, (value, is_so) in rows.items()}
    values["edges of the causal graph"] = (
        scores.graph_average_precision(),
        is_edge.sum() / n_pairs,
    )
    values["EC50 of training drugs"] = (scores.ec50_correlation(), 0.0)
    return ReportTable(
        "Mechanism: what scgim recovers of the truth",
        pd.DataFrame.from_dict(values, orient="index", columns=["scgim", "chance"]),
        note=(
            "Average precision of targets and edges, rank correlation of the EC50; 1 is perfect. "
            "Chance is what a random order scores."
        ),
    )


def _drugs(truth: HeldOutTruth, split: str) -> list[str]:
    held_out = truth.conditions
    return held_out.loc[held_out["split"] == split, "drug"].unique().tolist()


def _write_data(folder: OutputFolder, model: GIM, adata: AnnData, truth: HeldOutTruth) -> None:
    """Write the model, the annotated training cells and the predicted cells."""
    annotated = adata.copy()
    model.annotate(annotated)
    write_cells(annotated, folder.path / "annotated.h5ad")
    conditions = truth.conditions[["drug", "dose"]]
    write_csv(conditions, folder.path / "conditions.csv", index=False)
    predicted = model.predict(conditions, n_cells=N_PREDICTED_CELLS, seed=0)
    write_cells(predicted, folder.path / "predictions.h5ad")
    model.save(folder.path / "model")


def _add_figures(
    folder: OutputFolder, gim: GIMPredictor, adata: AnnData, truth: HeldOutTruth
) -> None:
    model = gim.model
    drugs = [*adata.obs["drug"].cat.categories, *truth.conditions["drug"]]
    drugs = [drug for drug in dict.fromkeys(drugs) if drug != "vehicle"]
    aligned = AlignedTables.of(model, adata, drugs, dose_grid(adata.obs["dose"]))
    add_training(folder, model)
    add_targets(folder, aligned.targets, aligned.true_shifts)
    _add_shifts(folder, gim, adata, truth)
    shown = _instructive_drugs(aligned)
    chosen = aligned.response["perturbation"].isin(shown)
    response = aligned.response[chosen].copy()
    add_dose_response(folder, response, observed=aligned.true_response)
    add_graph(folder, aligned.adjacency)
    add_programs(folder, model.get_gene_programs())


def _add_shifts(
    folder: OutputFolder, gim: GIMPredictor, adata: AnnData, truth: HeldOutTruth
) -> None:
    held_out = truth.conditions
    names = held_out["drug"] + " at " + held_out["dose"].map("{:.3g}".format)
    tables = [
        pd.DataFrame(shift, index=names, columns=adata.var_names)
        for shift in (gim.predict_shift(held_out), truth.shift)
    ]
    groups = held_out["split"].map(SPLITS).set_axis(names)
    folder.add_figure(
        "predicted_vs_observed",
        pl.predicted_vs_observed(*tables, groups=groups),
        title="Predicted against observed shift",
        description=(
            f"Scatter of the predicted against the true mean shift of {adata.n_vars} genes in "
            f"{len(held_out)} held-out conditions; points follow the diagonal."
        ),
        note=(
            "Each point is a gene in a held-out condition. R² here counts all genes, in the table "
            "the 50 that move most."
        ),
    )


def _instructive_drugs(aligned: AlignedTables, n: int = 3) -> list[str]:
    """Name drugs whose EC50 lies well inside the measured doses, spread over potency."""
    doses = aligned.response["dose"]
    inner = np.log10(doses[doses > 0]).quantile([0.15, 0.85]).to_numpy()
    potencies = aligned.response.attrs["ec50"]
    ec50 = pd.Series({drug: potency["ec50"] for drug, potency in potencies.items()}).sort_values()
    inside = ec50[np.log10(ec50).between(*inner)]
    candidates = (inside if len(inside) >= n else ec50).index
    return [candidates[index] for index in np.linspace(0, len(candidates) - 1, n).astype(int)]


def _summary(adata: AnnData, truth: HeldOutTruth) -> list[str]:
    n_drugs = adata.obs["drug"].nunique() - 1
    return [
        (
            f"scgim simulated {adata.n_obs} cells of a screen of {n_drugs} drugs whose mechanisms are "
            f"known, trained a generative intervention model, and predicted {len(truth.conditions)} "
            "conditions that the model had not seen: doses between the measured ones, top doses, "
            "new drugs of known mechanism classes, and new drugs that combine two classes."
        ),
        (
            "A simulated world matches the model's assumptions; real screens do not. Read the "
            "numbers as a check that the software works, and measure it on your own data."
        ),
    ]


def _describe_run(settings: DemoSettings, seconds: float) -> dict[str, str]:
    packages = {name: version(name) for name in ("scgim", "scvi-tools", "torch", "anndata")}
    sizes = {name.replace("_", " "): str(value) for name, value in asdict(settings).items()}
    return packages | sizes | {"seconds": f"{seconds:.0f}"}
