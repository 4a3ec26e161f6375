"""Prediction with a saved model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgim._files import write_cells
from scgim.cli._quiet import quiet_packages
from scgim.cli._tables_from_files import read_conditions, read_features
from scgim.model import GIM
from scgim.model._condition_gate import context_columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console


def run_predict(  # noqa: PLR0913 - options of the command
    model_folder: Path,
    conditions: Path,
    *,
    features: Path | None,
    ignore: Sequence[str] = (),
    n_cells: int,
    allow_pickle: bool = False,
    seed: int,
    out: Path,
    console: Console,
) -> None:
    """Predict the cells of conditions and write them.

    Parameters
    ----------
    model_folder
        Folder of a saved model.
    conditions
        CSV file with one row per condition.
    features
        CSV file with features of new perturbations.
    ignore
        Columns of the conditions to carry along without effect.
    n_cells
        Cells per condition.
    allow_pickle
        Whether to load a model that is a pickle, which can run any code.
    seed
        Seed of the cells.
    out
        File to write.
    console
        Where to print.
    """
    quiet_packages()
    model = GIM.load(str(model_folder), adata=False, safe=not allow_pickle)
    key = model.registry_["setup_args"]["perturbation_key"]
    asked = read_conditions(conditions, key, list(context_columns(model.screen)))
    known = None if features is None else read_features(features)
    predicted = model.predict(asked, n_cells=n_cells, features=known, ignore=ignore, seed=seed)
    write_cells(predicted, out)
    console.print(
        f"Wrote {predicted.n_obs} cells of {len(asked)} conditions to {out} "
        f"({predicted.uns['scgim']['space']})."
    )
