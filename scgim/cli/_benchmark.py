"""The benchmarks, called from the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from scgim.benchmark import (
    ChemistrySettings,
    GenesSettings,
    benchmark_all_screens,
    benchmark_chemistry,
    benchmark_genes,
    benchmark_programs,
    benchmark_real,
    benchmark_speed,
    benchmark_targets,
)
from scgim.cli._quiet import quiet_packages
from scgim.datasets import GenesWorld

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def run_programs(
    seeds: list[int],
    scenario: Literal["linear", "tanh", "hard"],
    split: Literal["conditions", "class"],
    json: Path | None,
    console: Console,
) -> None:
    """Run the benchmark of World P, print it and write it.

    Parameters
    ----------
    seeds
        Seeds of the worlds.
    scenario
        Kind of mechanisms and interventions.
    split
        What is held out.
    json
        File to write, if any.
    console
        Where to print.
    """
    quiet_packages()
    result = benchmark_programs(seeds, scenario=scenario, split=split, console=console)
    result.print(console)
    if json is not None:
        result.write_json(json)


def run_genes(
    seeds: list[int],
    world: dict[str, Any],
    structure: Literal["search", "gradient"],
    json: Path | None,
    console: Console,
) -> None:
    """Run the benchmark of World G, print it and write it.

    Parameters
    ----------
    seeds
        Seeds of the worlds.
    world
        Options of :class:`~scgim.datasets.GenesWorld`.
    structure
        ``"gradient"`` puts the published optimiser beside the search.
    json
        File to write, if any.
    console
        Where to print.
    """
    quiet_packages()
    settings = GenesSettings(
        world=GenesWorld(**world),
        structures=("search",) if structure == "search" else ("search", "gradient"),
    )
    result = benchmark_genes(seeds, settings=settings, console=console)
    result.print(console)
    if json is not None:
        result.write_json(json)


def run_targets(screen: str, seed: int, json: Path | None, console: Console) -> None:
    """Run the benchmark of targets on a real screen, print it and write it.

    Parameters
    ----------
    screen
        Name of the screen, or an h5ad file.
    seed
        Seed of thinning and bootstrap.
    json
        File to write, if any.
    console
        Where to print.
    """
    quiet_packages()
    result = benchmark_targets(screen, seed=seed)
    result.print(console)
    if json is not None:
        result.write_json(json)


def run_all_screens(
    out: Path, n_jobs: int, json: Path | None, figure: Path | None, console: Console
) -> None:
    """Run the benchmark on all real screens, print it and write it.

    Parameters
    ----------
    out
        Folder for a file per run.
    n_jobs
        Processes.
    json
        File to write, if any.
    figure
        Image of GIM minus the best baseline to write, if any.
    console
        Where to print.
    """
    quiet_packages()
    result = benchmark_all_screens(out, n_jobs=n_jobs, console=console)
    result.print(console)
    if json is not None:
        result.write_json(json)
    if figure is not None:
        result.write_figure(figure)


def run_real(
    screen: Literal["sciplex2", "papalexi"],
    seeds: list[int],
    json: Path | None,
    figure: Path | None,
    console: Console,
) -> None:
    """Run the benchmark on a real screen, print it and write it.

    Parameters
    ----------
    screen
        Which screen.
    seeds
        Seeds of training.
    json
        File to write, if any.
    figure
        Image of the fitted dose response to write, if any.
    console
        Where to print.
    """
    quiet_packages()
    result = benchmark_real(screen, seeds)
    result.print(console)
    if json is not None:
        result.write_json(json)
    if figure is not None:
        result.write_figure(figure)


def run_chemistry(
    seeds: list[int],
    split: Literal["random", "scaffold", "similarity", "target", "interior_dose", "top_dose"],
    features: list[Literal["structure", "annotations"]],
    n_folds: int,
    json: Path | None,
    console: Console,
) -> None:
    """Run the benchmark of World C, print it and write it.

    Parameters
    ----------
    seeds
        Seeds of the worlds.
    split
        What is held out together.
    features
        Kinds of features.
    n_folds
        How many of the five folds to hold out.
    json
        File to write, if any.
    console
        Where to print.
    """
    quiet_packages()
    settings = ChemistrySettings(n_folds=n_folds)
    result = benchmark_chemistry(
        seeds, split=split, features=features, settings=settings, console=console
    )
    result.print(console)
    if json is not None:
        result.write_json(json)


def run_speed(n_cells: list[int], json: Path | None, console: Console) -> None:
    """Run the benchmark of speed, print it and write it.

    Parameters
    ----------
    n_cells
        Sizes of the simulated screens.
    json
        File to write, if any.
    console
        Where to print.
    """
    quiet_packages()
    result = benchmark_speed(n_cells, console=console)
    result.print(console)
    if json is not None:
        result.write_json(json)
