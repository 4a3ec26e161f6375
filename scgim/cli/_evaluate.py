"""Honest evaluation of GIM on a user's file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from scgim.cli._quiet import quiet_packages
from scgim.cli._screen_file import describe_run, read_screen
from scgim.cli._tables_from_files import read_groups
from scgim.evaluation import (
    FeatureAudit,
    GIMPredictor,
    ScoringSettings,
    ScreenKeys,
    Split,
    Verdict,
    audit_control,
    judge,
    judge_overall,
    split,
)
from scgim.evaluation._evaluate import Evaluation, run_evaluation
from scgim.evaluation._split_checks import check_has_column
from scgim.evaluation.report._artifacts import OutputFolder
from scgim.evaluation.report._audit_section import add_audit, audit_evaluation, join_found
from scgim.evaluation.report._collapse_section import add_collapse
from scgim.evaluation.report._control_section import add_control
from scgim.evaluation.report._csv import write_csv
from scgim.evaluation.report._evaluation_figures import (
    COVERAGE_LEVELS,
    add_differences,
    add_figures,
    condition_errors,
    coverage_at,
)
from scgim.evaluation.report._evaluation_report import (
    add_left_out,
    add_tables,
    difference_report,
    summarize,
)
from scgim.evaluation.report._restarts_section import (
    TOGETHER,
    Restarts,
    add_restarts,
    train_restarts,
)

if TYPE_CHECKING:
    import anndata as ad
    from rich.console import Console

NAME = "GIM"
SPLIT_NAMES = {"drug": "perturbation"}
NEEDS_FEATURES = {"perturbation", "group"}
CLAIM = "claim"
NEEDS_GROUPS = {"group", CLAIM}
CLAIM_SPLITS = ("drug", "group")


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
    plate
        Column of ``obs`` with plates or wells, whose control cells are compared with each other.
    layer
        Layer with the counts.
    split
        What is held out, see :func:`scgim.evaluation.split`; ``"drug"`` is ``"perturbation"``, and
        ``"claim"`` stands for ``"drug"`` and ``"group"`` one after the other.
    groups
        CSV file of perturbation and group, for the splits ``"group"`` and ``"claim"``; in others, for
        the baseline :class:`scgim.evaluation.SameClassMean`.
    fraction
        Share of the candidates that is held out.
    seeds
        Seeds of split and training.
    restarts
        Trainings on the split of the first seed, of which the others show what one seed decides.
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
    plate: str | None = None
    layer: str | None = None
    split: str = "drug"
    groups: Path | None = None
    fraction: float = 0.2
    seeds: tuple[int, ...] = (0, 1, 2)
    restarts: int = 3
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
    errors
        Error and uncertainty of each condition.
    audit
        Whether features are used, or in words why that was not asked.
    restarts
        What other trainings say; only for the first seed.
    """

    seed: int
    split: Split
    evaluation: Evaluation
    coverage: pd.DataFrame
    errors: pd.DataFrame
    audit: FeatureAudit | str
    restarts: Restarts | None


@dataclass(frozen=True)
class EvaluateResult:
    """What an evaluation comes to.

    Attributes
    ----------
    verdict
        Better, on par or worse, by the claim rule.
    audit
        Whether features are used, or in words why that was not asked.
    """

    verdict: Verdict
    audit: FeatureAudit | str

    @property
    def uses_features(self) -> bool | None:
        """Whether the audit passes; ``None`` without one."""
        return passes(self.audit)


def passes(audit: FeatureAudit | str) -> bool | None:
    """Tell whether an audit passes; ``None`` without one.

    Parameters
    ----------
    audit
        What was found.

    Returns
    -------
    Whether it says that features are used.
    """
    return None if isinstance(audit, str) else audit.uses_features


def run_evaluate(file: Path, out: Path, settings: EvaluateSettings, console: Console) -> None:
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
    """
    quiet_packages()
    check_has_group_file(
        settings.split, is_given=settings.split not in NEEDS_GROUPS or settings.groups is not None
    )
    if settings.split == CLAIM:
        _run_claim(file, out, settings, console)
    else:
        _run_split(file, out, settings, console)


def _run_claim(file: Path, out: Path, settings: EvaluateSettings, console: Console) -> None:
    """Evaluate unseen perturbations at random and by group, and join both into the whole claim."""
    at_random, by_group = (
        _run_split(file, out / name, replace(settings, split=name), console)
        for name in CLAIM_SPLITS
    )
    audits = (at_random.uses_features, by_group.uses_features)
    overall = judge_overall(
        at_random.verdict,
        by_group.verdict,
        uses_features=None if None in audits else all(audits),
        grouping=_name_groups(settings),
    )
    folder = OutputFolder(out)
    summary = [overall.sentence]
    for name, result in zip(CLAIM_SPLITS, (at_random, by_group), strict=True):
        where = f"--split {name}"
        summary.append(f"{where}: {result.verdict.sentence}")
        add_differences(folder, result.verdict, where)
        folder.add_table(difference_report(result.verdict, where))
        add_audit(folder, result.audit, where)
    pages = " and ".join(f"{name}/report.html" for name in CLAIM_SPLITS)
    summary.append(f"Everything else is on the pages {pages}.")
    title = f"scgim evaluate: {file.name}, the whole claim"
    report = folder.write_report(title, summary, describe_run(file, settings))
    console.print(overall.sentence)
    console.print(f"Open {report} in a browser.")


def _name_groups(settings: EvaluateSettings) -> str:
    assert settings.groups is not None
    return str(read_groups(settings.groups).name)


def _run_split(
    file: Path, out: Path, settings: EvaluateSettings, console: Console
) -> EvaluateResult:
    start = time.perf_counter()
    adata, features = read_screen(file, settings)
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
    check_has_column("plate", settings.plate or settings.perturbation, adata.obs.columns)
    controls = audit_control(adata, keys=keys, by=settings.plate)
    results = []
    for number, seed in enumerate(settings.seeds, start=1):
        step = f"[bold]{number}/{len(settings.seeds)}[/] Seed {seed}"
        with console.status(step) as status:

            def say(name: str, step: str = step) -> None:
                status.update(f"{step}: {name}")

            results.append(_run_seed(adata, keys, kind, seed, settings, say))
        console.print(f"{step}: {len(results[-1].split.held_out)} conditions held out")
    scores = pd.concat([result.evaluation.scores for result in results], ignore_index=True)
    audit = join_found({result.seed: result.audit for result in results})
    verdict = judge(scores, NAME, uses_features=passes(audit))
    folder = OutputFolder(out)
    _write_files(folder.path, results, scores, verdict, audit)
    add_differences(folder, verdict)
    add_tables(folder, scores, verdict)
    add_collapse(folder, [result.evaluation for result in results], NAME)
    add_audit(folder, audit)
    add_restarts(folder, results[0].restarts)
    add_control(folder, controls, settings.plate)
    errors = pd.concat([result.errors for result in results], ignore_index=True)
    add_figures(folder, scores, verdict, results[0].evaluation, _coverage_of(results), errors)
    add_left_out(folder, scores)
    report = folder.write_report(
        f"scgim evaluate: {file.name}",
        [*summarize(verdict, audit, scores, settings.split), *controls.problems],
        describe_run(file, settings) | _describe_results(results, time.perf_counter() - start),
    )
    console.print(verdict.sentence)
    if isinstance(audit, FeatureAudit):
        console.print(audit.sentence)
    for problem in controls.problems:
        console.print(f"[bold]Control cells:[/] {problem}")
    console.print(f"Done in {time.perf_counter() - start:.0f} s. Open {report} in a browser.")
    return EvaluateResult(verdict, audit)


def _run_seed(
    adata: ad.AnnData,
    keys: ScreenKeys,
    kind: Any,  # noqa: ANN401 - a SplitKind, checked by split
    seed: int,
    settings: EvaluateSettings,
    say: Callable[[str], None],
) -> SeedResult:
    groups = None if settings.groups is None else read_groups(settings.groups)
    chosen = split(
        adata,
        kind,
        fraction=settings.fraction,
        seed=seed,
        keys=keys,
        groups=groups,
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
    evaluation = run_evaluation(gim, adata, chosen, classes=groups, settings=scoring, say=say)
    coverage = coverage_at(COVERAGE_LEVELS, gim, evaluation, scoring).assign(seed=seed)
    errors = condition_errors(gim, evaluation, scoring).assign(seed=seed)
    say("feature audit")
    audit = audit_evaluation(gim, evaluation, seed)
    n_trainings = settings.restarts if seed == settings.seeds[0] else 1
    restarts = train_restarts(gim, evaluation, scoring, n_trainings, say)
    return SeedResult(seed, chosen, evaluation, coverage, errors, audit, restarts)


def _coverage_of(results: list[SeedResult]) -> pd.DataFrame:
    tables = [result.coverage for result in results]
    first = results[0]
    if first.restarts is not None:
        tables.append(first.restarts.coverage.assign(seed=f"{first.seed}, {TOGETHER}"))
    return pd.concat(tables, ignore_index=True)


def _write_files(
    out: Path,
    results: list[SeedResult],
    scores: pd.DataFrame,
    verdict: Verdict,
    audit: FeatureAudit | str,
) -> None:
    tables = out / "tables"
    write_csv(scores, tables / "scores.csv", index=False)
    write_csv(verdict.differences, tables / "paired_differences.csv", index=False)
    write_csv(_coverage_of(results), tables / "coverage.csv", index=False)
    if isinstance(audit, FeatureAudit):
        write_csv(audit.effects, tables / "feature_audit.csv", index=False)
    for result in results:
        result.split.save(tables / f"split_seed{result.seed}.json")


def _describe_results(results: list[SeedResult], seconds: float) -> dict[str, str]:
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
    return scored | held_out | {"seconds": f"{seconds:.0f}"}


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
