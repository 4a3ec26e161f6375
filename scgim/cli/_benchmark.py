"""The benchmarks, called from the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scgim.benchmark import benchmark_programs, benchmark_speed
from scgim.cli._quiet import quiet_packages

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def run_programs(
    seeds: list[int],
    scenario: Literal["linear", "tanh", "hard"],
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
    json
        File to write, if any.
    console
        Where to print.
    """
    quiet_packages()
    result = benchmark_programs(seeds, scenario=scenario, console=console)
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
