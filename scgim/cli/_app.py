"""Commands and their options; what they do is imported when they run, so that help is quick."""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from scgim.cli._errors import plain_messages
from scgim.cli._multi_value import MultiValueCommand

app = typer.Typer(
    name="scgim",
    help="Generative intervention models for single-cell perturbation screens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
benchmark_app = typer.Typer(
    help="Measure scgim beside baselines and ceilings.", no_args_is_help=True
)
app.add_typer(benchmark_app, name="benchmark")


class CompoundFeatures(StrEnum):
    """Kinds of features of real compounds; Typer reads no list of literals."""

    structure = "structure"
    annotations = "annotations"


Seeds = Annotated[
    list[int], typer.Option("--seeds", help="Seeds of the worlds, for example: --seeds 1 2 3.")
]
ScreenFile = Annotated[
    Path, typer.Argument(help="AnnData file (h5ad).", exists=True, dir_okay=False)
]
PerturbationColumn = Annotated[str, typer.Option(help="Column of obs that names the perturbation.")]
ControlLabel = Annotated[str, typer.Option(help="Label of the control cells in that column.")]
DoseColumn = Annotated[str | None, typer.Option(help="Column of obs with the dose.")]
Features = Annotated[
    str | None,
    typer.Option(
        help="Perturbation features: an entry of uns, or a CSV file with one row per perturbation."
    ),
]
Layer = Annotated[str | None, typer.Option(help="Layer with the counts; X by default.")]
MaxEpochs = Annotated[int | None, typer.Option(help="Passes over the cells; chosen by default.")]
Json = Annotated[
    Path | None, typer.Option("--json", help="Write all numbers to this file.", dir_okay=False)
]


def main(arguments: list[str] | None = None) -> None:
    """Run the shell command.

    Parameters
    ----------
    arguments
        Arguments after the program's name; those of the process by default.
    """
    with plain_messages():
        app(args=arguments, prog_name="scgim")


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"scgim {version('scgim')}")
        raise typer.Exit


@app.callback()
def _common(
    *,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and stop.",
            is_eager=True,
            callback=lambda wanted: _print_version(wanted=wanted),
        ),
    ] = False,
) -> None:
    """Run one of the commands."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.", file_okay=False)] = Path(
        "scgim-demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the simulated screen.")] = 0,
) -> None:
    """Simulate a screen, train, predict what was held out, and compare with the truth.

    Takes less than two minutes on two cores and needs no files.
    """
    from scgim.cli._demo import DemoSettings, run_demo  # noqa: PLC0415 - heavy

    run_demo(out, DemoSettings(seed=seed), Console())


@app.command()
def fit(  # noqa: PLR0913 - the options of a shell command
    *,
    file: ScreenFile,
    perturbation: PerturbationColumn,
    control: ControlLabel,
    dose: DoseColumn = None,
    features: Features = None,
    batch: Annotated[str | None, typer.Option(help="Column of obs with the batch.")] = None,
    layer: Layer = None,
    causal_space: Annotated[
        Literal["genes", "programs", "latent"],
        typer.Option(help="What the nodes of the graph are."),
    ] = "programs",
    likelihood: Annotated[
        Literal["nb", "zinb", "poisson", "normal"],
        typer.Option(help="Likelihood of the expression; normal for transformed expression."),
    ] = "nb",
    n_nodes: Annotated[
        int | None,
        typer.Option(
            help="Number of nodes of the causal graph, 16 by default; genes are all nodes."
        ),
    ] = None,
    edges: Annotated[
        Path | None,
        typer.Option(
            help="Likely edges between genes: a CSV file with source, target and weight.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    max_epochs: MaxEpochs = None,
    checkpoint: Annotated[
        bool,
        typer.Option(
            help="Keep the last epoch in a folder beside the output; after a stop the same command goes on "
            "from there."
        ),
    ] = True,
    seed: Annotated[int, typer.Option(help="Seed of initialisation and training.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder to write.", file_okay=False)] = Path(
        "scgim-fit"
    ),
) -> None:
    """Train on your file; write the model, the annotated data, tables, figures and a report."""
    from scgim.cli._fit import FitSettings, run_fit  # noqa: PLC0415 - heavy

    settings = FitSettings(
        perturbation=perturbation,
        control=control,
        dose=dose,
        features=features,
        batch=batch,
        layer=layer,
        causal_space=causal_space,
        likelihood=likelihood,
        n_nodes=n_nodes,
        edges=edges,
        max_epochs=max_epochs,
        checkpoint=checkpoint,
        seed=seed,
    )
    run_fit(file, out, settings, Console())


@app.command(cls=MultiValueCommand)
def evaluate(  # noqa: PLR0913, PLR0917 - the options of a shell command
    file: ScreenFile,
    perturbation: PerturbationColumn,
    control: ControlLabel,
    dose: DoseColumn = None,
    features: Features = None,
    context: Annotated[
        str | None,
        typer.Option(help="Column of obs with contexts, each with control cells of its own."),
    ] = None,
    plate: Annotated[
        str | None,
        typer.Option(
            help="Column of obs with plates or wells, to compare their control cells with each other."
        ),
    ] = None,
    layer: Layer = None,
    split: Annotated[
        Literal[
            "drug",
            "perturbation",
            "interior_dose",
            "top_dose",
            "group",
            "context",
            "perturbation_in_context",
            "combination",
            "claim",
        ],
        typer.Option(
            help="What is held out; drug and perturbation are the same, claim is drug and then group."
        ),
    ] = "drug",
    groups: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of perturbation and group, such as its scaffold, for --split group and claim "
            "and for the same-class mean.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    fraction: Annotated[float, typer.Option(help="Share of the candidates to hold out.")] = 0.2,
    seeds: Annotated[
        list[int],
        typer.Option("--seeds", help="Seeds of split and training, for example: --seeds 0 1 2."),
    ] = [0, 1, 2],  # noqa: B006 - Typer copies it
    restarts: Annotated[
        int,
        typer.Option(help="Trainings on the first split, to see what one seed decides.", min=1),
    ] = 3,
    n_nodes: Annotated[int, typer.Option(help="Number of nodes of the causal graph.")] = 16,
    max_epochs: MaxEpochs = None,
    out: Annotated[Path, typer.Option(help="Folder to write.", file_okay=False)] = Path(
        "scgim-evaluate"
    ),
) -> None:
    """Hold out part of your file, train, and say whether GIM is better than simple baselines.

    Writes one page that a browser opens from disk, with tables and splits beside it.
    """
    from scgim.cli._evaluate import run_evaluate  # noqa: PLC0415 - heavy
    from scgim.evaluation import ReportSettings, ScreenKeys  # noqa: PLC0415 - heavy

    settings = ReportSettings(
        split=split,
        fraction=fraction,
        seeds=tuple(seeds),
        restarts=restarts,
        n_nodes=n_nodes,
        max_epochs=max_epochs,
        plate=plate,
    )
    keys = ScreenKeys(perturbation, control, dose, features, context, layer)
    run_evaluate(file, out, keys, settings, groups, Console())


@app.command(cls=MultiValueCommand)
def predict(
    *,
    model: Annotated[
        Path, typer.Argument(help="Folder of a saved model.", exists=True, file_okay=False)
    ],
    conditions: Annotated[
        Path,
        typer.Argument(
            help="CSV file, one row per condition, columns named as in the training data.",
            exists=True,
            dir_okay=False,
        ),
    ],
    features: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with features of new perturbations.", exists=True, dir_okay=False
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            help="Columns of the conditions that the model does not use, carried along.",
            show_default=False,
        ),
    ] = None,
    n_cells: Annotated[int, typer.Option(help="Cells to predict per condition.", min=1)] = 500,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Load a model that is a pickle, as scgim 0.1 saved it. A pickle can run any code: only "
            "from people you trust.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the predicted cells.")] = 0,
    out: Annotated[Path, typer.Option(help="File to write (h5ad).", dir_okay=False)] = Path(
        "predictions.h5ad"
    ),
) -> None:
    """Predict the cells of perturbations and doses, seen or not."""
    from scgim.cli._predict import run_predict  # noqa: PLC0415 - heavy

    run_predict(
        model,
        conditions,
        features=features,
        ignore=ignore or (),
        n_cells=n_cells,
        allow_pickle=allow_pickle,
        seed=seed,
        out=out,
        console=Console(),
    )


@benchmark_app.command("programs", cls=MultiValueCommand)
def benchmark_programs(
    seeds: Seeds = [1, 2, 3],  # noqa: B006 - Typer copies it
    scenario: Annotated[
        Literal["linear", "tanh", "hard"], typer.Option(help="Mechanisms and interventions.")
    ] = "linear",
    split: Annotated[
        Literal["conditions", "class"],
        typer.Option(help="Hold out doses and drugs of known classes, or all drugs of a class."),
    ] = "conditions",
    json: Json = None,
) -> None:
    """Score scgim, baselines and ceilings on held-out conditions of simulated screens."""
    from scgim.cli._benchmark import run_programs  # noqa: PLC0415 - heavy

    run_programs(seeds, scenario, split, json, Console())


@benchmark_app.command("chemistry", cls=MultiValueCommand)
def benchmark_chemistry(
    seeds: Seeds = [1],  # noqa: B006 - Typer copies it
    split: Annotated[
        Literal["random", "scaffold", "similarity", "target", "interior_dose", "top_dose"],
        typer.Option(help="Which compounds are held out together, or which of their doses."),
    ] = "random",
    features: Annotated[
        list[CompoundFeatures],
        typer.Option("--features", help="Features, one kind or both."),
    ] = list(CompoundFeatures),  # noqa: B006 - Typer copies it
    folds: Annotated[
        int, typer.Option(help="Folds to hold out per seed, of five.", min=1, max=5)
    ] = 1,
    json: Json = None,
) -> None:
    """Score unseen real compounds with simulated effects, and audit the use of their features.

    Compounds are read from the folder that the variable SCGIM_DATA names.
    """
    from scgim.cli._benchmark import run_chemistry  # noqa: PLC0415 - heavy

    run_chemistry(seeds, split, [kind.value for kind in features], folds, json, Console())


@benchmark_app.command("genes", cls=MultiValueCommand)
def benchmark_genes(  # noqa: PLR0913, PLR0917 - the options of a shell command
    seeds: Seeds = [1, 2, 3],  # noqa: B006 - Typer copies it
    graph: Annotated[
        Literal["er1", "er2", "sf2"],
        typer.Option(help="Erdős-Rényi with 1 or 2 edges per node, or scale-free."),
    ] = "er2",
    mechanism: Annotated[
        Literal["linear", "mlp"], typer.Option(help="How genes follow their parents.")
    ] = "linear",
    features: Annotated[
        Literal["linear", "tanh"], typer.Option(help="How features mix what is true of a drug.")
    ] = "linear",
    sign: Annotated[
        Literal["node", "drug"],
        typer.Option(help="What decides on the direction of a shift: the gene, or the drug."),
    ] = "node",
    intervention: Annotated[
        Literal["shift", "hard", "mixed", "scale"],
        typer.Option(help="What drugs do to their targets."),
    ] = "shift",
    structure: Annotated[
        Literal["search", "gradient"],
        typer.Option(help="gradient: the published optimiser beside the search, in one table."),
    ] = "search",
    nodes: Annotated[int, typer.Option(help="Genes of the world.", min=3)] = 20,
    drugs: Annotated[int, typer.Option(help="Training drugs.", min=2)] = 40,
    cells: Annotated[int, typer.Option(help="Cells per condition.", min=2)] = 50,
    control_cells: Annotated[int, typer.Option(help="Control cells.", min=2)] = 800,
    json: Json = None,
) -> None:
    """Score the causal model of named genes on screens with a known causal graph."""
    from scgim.cli._benchmark import run_genes  # noqa: PLC0415 - heavy

    world = {
        "graph": graph,
        "mechanism": mechanism,
        "features": features,
        "sign": sign,
        "intervention": intervention,
        "n_nodes": nodes,
        "n_drugs": drugs,
        "n_cells": cells,
        "n_control": control_cells,
    }
    run_genes(seeds, world, structure, json, Console())


@benchmark_app.command("targets")
def benchmark_targets(
    screen: Annotated[
        str,
        typer.Argument(
            help="papalexi, hill, dream4 or sachs (read from the folder named by SCGIM_DATA), or an "
            "h5ad file of knock-outs with known targets.",
        ),
    ],
    seed: Annotated[int, typer.Option(help="Seed of thinning and bootstrap.")] = 0,
    json: Json = None,
) -> None:
    """Rank all genes as the target of each perturbation of a real screen, beside baselines."""
    from scgim.cli._benchmark import run_targets  # noqa: PLC0415 - heavy

    run_targets(screen, seed, json, Console())


@benchmark_app.command("real", cls=MultiValueCommand)
def benchmark_real(
    screen: Annotated[
        Literal["all", "sciplex2", "papalexi"],
        typer.Argument(
            help="All screens in the folder that SCGIM_DATA names, or a closer look at one of two."
        ),
    ] = "all",
    seeds: Seeds = [0, 1, 2],  # noqa: B006 - Typer copies it
    json: Json = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure",
            help="Draw GIM minus the best baseline (all), or the dose response of known genes.",
            dir_okay=False,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for a file per run of all; runs that are there are not repeated."
        ),
    ] = Path("real_screens"),
    jobs: Annotated[int, typer.Option(help="Processes for all screens.", min=1)] = 1,
) -> None:
    """Train on real screens beside all baselines; on one, also say what knock-outs target.

    Seeds of all screens are fixed: those of the benchmarks page.
    """
    from scgim.cli._benchmark import run_all_screens, run_real  # noqa: PLC0415 - heavy

    if screen == "all":
        run_all_screens(out, jobs, json, figure, Console())
    else:
        run_real(screen, seeds, json, figure, Console())


@benchmark_app.command("speed", cls=MultiValueCommand)
def benchmark_speed(
    cells: Annotated[
        list[int],
        typer.Option(
            "--cells", help="Cells of the screens, for example: --cells 8000 100000.", min=1
        ),
    ] = [8000],  # noqa: B006 - Typer copies it
    json: Json = None,
) -> None:
    """Measure training and prediction beside scVI, on the CPU and a GPU where there is one."""
    from scgim.cli._benchmark import run_speed  # noqa: PLC0415 - heavy

    run_speed(cells, json, Console())
