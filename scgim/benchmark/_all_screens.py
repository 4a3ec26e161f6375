"""All real screens in one run: GIM beside every baseline, one file per screen and seed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from matplotlib.figure import Figure
from rich.table import Table

from scgim import pl
from scgim._files import new_file
from scgim._messages import check_choice, quote_some
from scgim.datasets._checks import check_data_folder
from scgim.datasets._real import DATA_VARIABLE
from scgim.evaluation import (
    GIMPredictor,
    RunResult,
    ScoringSettings,
    ScreenKeys,
    evaluate,
    evaluate_generator,
    judge,
    split,
)
from scgim.evaluation._result_file import to_records, write_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rich.console import Console

GIM_NAME = "GIM"
N_NODES = 16
EFFECTS = "effects"
METRICS = ("weighted R² from control", "weighted MSE", "energy distance")
PACKAGES = ("scgim", "scvi-tools", "torch", "scikit-learn")
FIGURE_INCHES = (7.0, 6.0)


@dataclass(frozen=True)
class RealRun:
    """One screen with one way of holding out.

    Attributes
    ----------
    file
        File in the folder of real data.
    split
        What is held out, see :func:`scgim.evaluation.split`; ``"effects"`` for a table of effects,
        of which perturbations are held out by :func:`scgim.evaluation.evaluate_generator`.
    seeds
        Seeds of split and training.
    keys
        Where the design of the screen is.
    options
        Further arguments of the split.
    """

    file: str
    split: str
    seeds: tuple[int, ...]
    keys: ScreenKeys
    options: dict[str, float] = field(default_factory=dict)


def _keys(**changes: str | None) -> ScreenKeys:
    design = {"perturbation": "perturbation", "control": "control", "dose": "dose"}
    return ScreenKeys(**(design | {"features": "drug_features"} | changes))  # type: ignore[arg-type]


# Everything about a run is here, beside what `SCGIM_DATA` holds: adding a screen is adding a line.
RUNS = {
    "driad_unseen": RealRun("driad_rencell_dge.h5ad", "perturbation", (0, 1, 2, 3, 4), _keys()),
    "driad_dose": RealRun("driad_rencell_dge.h5ad", "interior_dose", (0, 1, 2), _keys()),
    "ljp005_dose": RealRun("lincs_ljp005_a375.h5ad", "interior_dose", (0, 1, 2), _keys()),
    "cpc006_unseen": RealRun("lincs_cpc006_ht115.h5ad", "perturbation", (0, 1, 2), _keys()),
    "papalexi_context": RealRun(
        "papalexi2021_sub299.h5ad",
        "perturbation_in_context",
        (0, 1, 2),
        _keys(dose=None, features=None, context="bio_rep"),
        {"fraction": 0.8},
    ),
    "sciplex2_dose": RealRun(
        "sciplex2_a549_dex_small.h5ad", "interior_dose", (0, 1, 2), _keys(features=None)
    ),
    "sciplex3_effects": RealRun(
        "sciplex3_rank_top_dose.h5ad", EFFECTS, (0,), _keys(context="cell_type")
    ),
    "tahoe_effects": RealRun("tahoe_rank_10lines.h5ad", EFFECTS, (0,), _keys(context="cell_type")),
}


def benchmark_all_screens(
    out: Path,
    *,
    names: Sequence[str] | None = None,
    n_jobs: int = 1,
    max_epochs: int | None = None,
    console: Console | None = None,
) -> RunResult:
    """Train GIM on every real screen and score it beside all baselines.

    Each screen and seed is a run of its own with a file of its own in ``out``; a run whose file is
    there is read and not repeated, so that what was stopped goes on.

    Parameters
    ----------
    out
        Folder for the files of the runs.
    names
        Which of the runs; all whose data are in the folder that ``SCGIM_DATA`` names if not given.
    n_jobs
        Processes.
    max_epochs
        Training epochs of GIM, ``None`` for its default.
    console
        Where to say what is left out.

    Returns
    -------
    The scores of all runs, of which the document has the mean of each seed; ``tables["differences"]`` has GIM minus the best baseline with its interval
    over perturbations, ``tables["comparison"]`` every predictor.

    Raises
    ------
    ValueError
        For an unknown name.
    FileNotFoundError
        Where there are no data.
    """
    for name in names or ():
        check_choice("names", name, tuple(RUNS))
    folder = check_data_folder(DATA_VARIABLE, os.environ.get(DATA_VARIABLE))
    wanted = {name: RUNS[name] for name in names or RUNS}
    missing = [name for name, run in wanted.items() if not (folder / run.file).exists()]
    if missing and console is not None:
        console.print(
            f"Left out, for their files are not in the data folder: {quote_some(missing)}."
        )
    jobs = [
        (name, seed) for name, run in wanted.items() if name not in missing for seed in run.seeds
    ]
    out.mkdir(parents=True, exist_ok=True)
    documents = Parallel(n_jobs=n_jobs)(
        delayed(_run_once)(name, seed, folder, out, max_epochs) for name, seed in jobs
    )
    scores = pd.concat([pd.DataFrame(document["scores"]) for document in documents])
    differences = _differences(documents)
    comparison = _comparison(scores)
    return RunResult(
        scores=scores,
        tables={"differences": differences, "comparison": comparison},
        claims=[_verdict(differences)],
        document={
            "benchmark": "all real screens",
            "versions": {name: version(name) for name in PACKAGES},
            "verdict": _verdict(differences),
            "differences": differences,
            "scores": _mean_of_seeds(scores),
        },
        shown=[*_tables(comparison), _verdict(differences)],
        draw=lambda path: _draw(differences, path),
    )


def _run_once(
    name: str, seed: int, folder: Path, out: Path, max_epochs: int | None
) -> dict[str, object]:
    """Run one screen with one seed, or read what an earlier run wrote."""
    path = out / f"{name}_seed{seed}.json"
    if path.exists():
        document: dict[str, object] = json.loads(path.read_text())
        if document.get("max_epochs") == max_epochs:
            return document
    run = RUNS[name]
    adata = ad.read_h5ad(folder / run.file)
    scores = (
        _score_effects(adata, run, seed)
        if run.split == EFFECTS
        else _score_screen(adata, run, seed, max_epochs)
    )
    document = {
        "run": name,
        "seed": seed,
        "max_epochs": max_epochs,
        "scores": to_records(scores.assign(run=name, seed=seed)),
    }
    write_document(document, path)
    return document


def _score_screen(
    adata: ad.AnnData, run: RealRun, seed: int, max_epochs: int | None
) -> pd.DataFrame:
    chosen = split(adata, run.split, seed=seed, keys=run.keys, **run.options)  # type: ignore[arg-type]
    gim = GIMPredictor(
        GIM_NAME,
        n_nodes=N_NODES,
        measure_gauge=False,
        seed=seed,
        train_kwargs={"max_epochs": max_epochs},
    )
    return evaluate({GIM_NAME: gim}, adata, chosen, settings=ScoringSettings(seed=seed))


def _score_effects(adata: ad.AnnData, run: RealRun, seed: int) -> pd.DataFrame:
    result = evaluate_generator(
        adata, adata.uns["drug_features"], context_key=run.keys.context, seed=seed
    )
    table = result.summary().rename_axis("predictor").reset_index()
    return table.melt("predictor", var_name="metric").assign(kind="effects")


def _differences(documents: Iterable[dict[str, object]]) -> pd.DataFrame:
    """GIM minus the best baseline of each run, with its interval over perturbations."""
    by_run: dict[str, list[pd.DataFrame]] = {}
    for document in documents:
        table = pd.DataFrame(document["scores"])
        if "perturbation" in table:
            by_run.setdefault(str(document["run"]), []).append(table)
    found = [
        judge(pd.concat(tables, ignore_index=True), GIM_NAME).differences.assign(run=run)
        for run, tables in by_run.items()
    ]
    if not found:
        return pd.DataFrame(columns=["run", "metric", "seed", "difference", "lower", "upper"])
    table = pd.concat(found, ignore_index=True)
    return table[table["metric"].isin(METRICS)].reset_index(drop=True)


def _comparison(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean of every metric over conditions and seeds, a row per run and predictor."""
    return scores.pivot_table(
        index=["run", "predictor"], columns="metric", values="value", aggfunc="mean", sort=False
    )


def _mean_of_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean of every metric over conditions, a row per run, seed and predictor."""
    keys = ["run", "seed", "predictor", "metric"]
    means = scores.groupby(keys, sort=False)["value"].mean().dropna().reset_index()
    return means.rename(columns={"run": "split"})


def _verdict(differences: pd.DataFrame) -> str:
    """Say in a sentence on how many runs GIM is ahead, level or behind."""
    judged = differences.dropna(subset=["lower", "upper"])
    if judged.empty:
        return "No screen has enough held-out perturbations for an interval."
    means = judged.groupby(["run", "metric"], sort=False)[["lower", "upper"]].mean()
    ahead, behind = int((means["lower"] > 0).sum()), int((means["upper"] < 0).sum())
    return (
        f"Against the best baseline of each run and metric, {GIM_NAME} is ahead on {ahead}, level on "
        f"{len(means) - ahead - behind} and behind on {behind} of {len(means)} (mean intervals over "
        "perturbations)."
    )


def _tables(comparison: pd.DataFrame) -> list[Table]:
    tables = []
    for run in comparison.index.get_level_values("run").unique():
        rows = comparison.loc[run].dropna(axis=1, how="all")
        shown = [name for name in METRICS if name in rows] or list(rows)
        table = Table(title=run, title_justify="left")
        table.add_column("predictor")
        for name in shown:
            table.add_column(name, justify="right")
        for predictor, row in rows[shown].iterrows():
            cells = ["-" if np.isnan(value) else f"{value:.3f}" for value in row]
            table.add_row(str(predictor), *cells)
        tables.append(table)
    return tables


def _draw(differences: pd.DataFrame, path: Path) -> None:
    """Draw GIM minus the best baseline, a row per run and metric."""
    rows = differences.dropna(subset=["lower", "upper"])
    if rows.empty:
        return
    rows = rows.assign(metric=rows["run"] + ": " + rows["metric"])
    figure = Figure(figsize=FIGURE_INCHES, layout="constrained")
    pl.paired_differences(rows, ax=figure.subplots())
    with new_file(path) as written:
        figure.savefig(written, dpi=200)
