"""Honest evaluation of GIM on a user's file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scgim.cli._quiet import quiet_packages
from scgim.cli._screen_file import read_screen
from scgim.cli._tables_from_files import read_groups
from scgim.evaluation import write_report

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from scgim.evaluation import ReportProgress, ReportSettings, ScreenKeys

NEEDS_FEATURES = {"drug", "perturbation", "group", "claim"}
NEEDS_GROUPS = {"group", "claim"}


def run_evaluate(
    file: Path,
    out: Path,
    keys: ScreenKeys,
    settings: ReportSettings,
    groups: Path | None,
    console: Console,
) -> None:
    """Evaluate a file by :func:`scgim.evaluation.write_report`, and print what it says.

    Parameters
    ----------
    file
        AnnData file.
    out
        Folder to write.
    keys
        Where the design of the screen is; ``features`` may also be a CSV file.
    settings
        What is held out, and sizes.
    groups
        CSV file of perturbation and group, if any.
    console
        Where to print.
    """
    quiet_packages()
    split = settings.split
    check_has_group_file(split, is_given=split not in NEEDS_GROUPS or groups is not None)
    adata, features = read_screen(file, keys)
    check_can_predict_unseen(
        split, has_features=features is not None or split not in NEEDS_FEATURES
    )
    with console.status("Splits") as status:

        def show(progress: ReportProgress) -> None:
            step, _, doing = str(progress).partition(" ")
            line = f"[bold]{step}[/] {doing}"
            status.update(line)
            if progress.is_done:
                console.print(line)

        report = write_report(
            adata,
            out,
            keys=replace(keys, features=features),
            groups=None if groups is None else read_groups(groups),
            settings=settings,
            title=f"scgim evaluate: {file.name}",
            about={"file": file.name, "features": keys.features or "not given"},
            progress=show,
        )
    report.print(console)


def check_can_predict_unseen(kind: str, *, has_features: bool) -> None:
    """Raise if whole perturbations are held out and nothing is known about them.

    Parameters
    ----------
    kind
        Kind of split.
    has_features
        Whether there are features, or none are needed.
    """
    if not has_features:
        msg = (
            f"`--split {kind}` holds out whole perturbations, but there are no features by which a model "
            "could predict them. Pass `--features`, or hold out something else: `interior_dose`, "
            "`top_dose`, `perturbation_in_context` or `combination`."
        )
        raise ValueError(msg)


def check_has_group_file(kind: str, *, is_given: bool) -> None:
    """Raise if groups are to be held out and there is no file that says what they are.

    Parameters
    ----------
    kind
        Kind of split.
    is_given
        Whether there is such a file, or none is needed.
    """
    if not is_given:
        msg = (
            f"`--split {kind}` holds out whole groups of perturbations, but no groups were given. Pass "
            "`--groups FILE`, a CSV file with one row per perturbation: its name, and its group, such "
            "as its scaffold."
        )
        raise ValueError(msg)
