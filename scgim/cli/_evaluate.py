"""Honest evaluation of GIM on a user's file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata as ad
import pandas as pd
from rich.console import Console

from scgim._validation._chemistry import check_layer
from scgim._validation._splits import check_can_predict_unseen
from scgim.benchmark import (
    GIMPredictor,
    ScoringSettings,
    ScreenKeys,
    Split,
    Verdict,
    judge,
    split,
)
from scgim.benchmark._evaluate import Evaluation, run_evaluation
from scgim.cli._artifacts import OutputFolder
from scgim.cli._evaluation_report import (
    COVERAGE_LEVELS,
    add_figures,
    add_left_out,
    add_tables,
    coverage_at,
    summarize,
)
from scgim.cli._quiet import quiet_packages
from scgim.cli._tables_from_files import place_features, read_groups

NAME = "GIM"
SPLIT_NAMES = {"drug": "perturbation"}
NEEDS_FEATURES = {"perturbation", "group"}


@dataclass(frozen=True)
class EvaluateSettings:
    """What ``scgim evaluate`` was asked for.

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
    context
        Column of ``obs`` with contexts such as cell lines.
    layer
        Layer with the counts.
    split
        What is held out, see :func:`scgim.benchmark.split`; ``"drug"`` is ``"perturbation"``.
    groups
        CSV file of perturbation and group, for the split ``"group"``.
    fraction
        Share of the candidates that is held out.
    seeds
        Seeds of split and training.
    n_nodes
        Number of nodes.
    max_epochs
        Passes over the cells, None for the model's default.
    """

    perturbation: str
    control: str
    dose: str | None = None
    features: str | None = None
    context: str | None = None
    layer: str | None = None
    split: str = "drug"
    groups: Path | None = None
    fraction: float = 0.2
    seeds: tuple[int, ...] = (0, 1, 2)
    n_nodes: int = 16
    max_epochs: int | None = None


@dataclass(frozen=True)
class SeedResult:
    """Evaluation of one seed.

    Attributes
    ----------
    seed
        Seed of split and training.
    split
        What was held out.
    evaluation
        Scores and predictions.
    coverage
        Share of true shifts in the interval at several levels.
    """

    seed: int
    split: Split
    evaluation: Evaluation
    coverage: pd.DataFrame


def run_evaluate(file: Path, out: Path, settings: EvaluateSettings, console: Console) -> Verdict:
    """Train and score over seeds, and write tables, figures, splits and a report.

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

    Returns
    -------
    The verdict by the claim rule.
    """
    start = time.perf_counter()
    quiet_packages()
    adata = ad.read_h5ad(file)
    check_layer(settings.layer, list(adata.layers))
    features = place_features(adata, settings.features)
    kind = SPLIT_NAMES.get(settings.split, settings.split)
    check_can_predict_unseen(
        settings.split, has_features=features is not None or kind not in NEEDS_FEATURES
    )
    keys = ScreenKeys(
        settings.perturbation,
        settings.control,
        settings.dose,
        features,
        settings.context,
        settings.layer,
    )
    results = []
    for number, seed in enumerate(settings.seeds, start=1):
        step = f"[bold]{number}/{len(settings.seeds)}[/] Seed {seed}"
        with console.status(step) as status:

            def say(name: str, step: str = step) -> None:
                status.update(f"{step}: {name}")

            results.append(_run_seed(adata, keys, kind, seed, settings, say))
        console.print(f"{step}: {len(results[-1].split.held_out)} conditions held out")
    scores = pd.concat([result.evaluation.scores for result in results], ignore_index=True)
    verdict = judge(scores, NAME)
    folder = OutputFolder(out)
    _write_files(out, results, scores, verdict)
    add_tables(folder, scores, verdict)
    add_figures(folder, scores, verdict, results[0].evaluation, _coverage_of(results))
    add_left_out(folder, scores)
    report = folder.write_report(
        f"scgim evaluate: {file.name}",
        summarize(verdict, scores, settings.split, len(settings.seeds)),
        _describe_run(file, settings, results, time.perf_counter() - start),
    )
    console.print(verdict.sentence)
    console.print(f"Done in {time.perf_counter() - start:.0f} s. Open {report} in a browser.")
    return verdict


def _run_seed(
    adata: ad.AnnData,
    keys: ScreenKeys,
    kind: Any,  # noqa: ANN401 - a SplitKind, checked by split
    seed: int,
    settings: EvaluateSettings,
    say: Callable[[str], None],
) -> SeedResult:
    chosen = split(
        adata,
        kind,
        fraction=settings.fraction,
        seed=seed,
        keys=keys,
        groups=None if settings.groups is None else read_groups(settings.groups),
        context=settings.context if "context" in str(kind) else None,
    )
    gim = GIMPredictor(
        NAME,
        n_nodes=settings.n_nodes,
        measure_gauge=False,
        train_kwargs={"max_epochs": settings.max_epochs},
        seed=seed,
    )
    scoring = ScoringSettings(seed=seed)
    evaluation = run_evaluation(gim, adata, chosen, settings=scoring, say=say)
    coverage = coverage_at(COVERAGE_LEVELS, gim, evaluation, scoring).assign(seed=seed)
    return SeedResult(seed, chosen, evaluation, coverage)


def _coverage_of(results: list[SeedResult]) -> pd.DataFrame:
    return pd.concat([result.coverage for result in results], ignore_index=True)


def _write_files(
    out: Path, results: list[SeedResult], scores: pd.DataFrame, verdict: Verdict
) -> None:
    tables = out / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    scores.to_csv(tables / "scores.csv", index=False)
    verdict.differences.to_csv(tables / "paired_differences.csv", index=False)
    _coverage_of(results).to_csv(tables / "coverage.csv", index=False)
    for result in results:
        result.split.save(tables / f"split_seed{result.seed}.json")


def _describe_run(
    file: Path, settings: EvaluateSettings, results: list[SeedResult], seconds: float
) -> dict[str, str]:
    packages = {
        name: version(name) for name in ("scgim", "scvi-tools", "torch", "scikit-learn", "anndata")
    }
    asked = {name.replace("_", " "): str(value) for name, value in asdict(settings).items()}
    held_out = {
        f"held out, seed {result.seed}": "; ".join(result.evaluation.truth.labels)
        for result in results
    }
    screen = results[0].evaluation.screen
    scored = {
        "cells to train on, seed " + str(results[0].seed): str(screen.adata.n_obs),
        "genes": str(screen.adata.n_vars),
        "expression": f"{screen.space}, scored as it is"
        if screen.space in {"log1p", "scaled"}
        else f"{screen.space}, scored as log1p of counts per 10,000",
        "energy distance and MMD": f"in {screen.pca.n_components_} principal components of training cells",
    }
    return (
        packages | {"file": file.name} | asked | scored | held_out | {"seconds": f"{seconds:.0f}"}
    )
