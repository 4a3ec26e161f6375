"""The whole evaluation of a screen: splits, trainings, scores, audits, and the page about them."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from scgim._messages import check_at_least, check_choice, quote_some, warn
from scgim.evaluation._checks import check_has_column, check_split_argument
from scgim.evaluation._claim import (
    MIN_PERTURBATIONS,
    MIN_SHARE_OF_SEEDS,
    judge,
    judge_overall,
)
from scgim.evaluation._evaluate import run_evaluation
from scgim.evaluation._feature_audit import FeatureAudit
from scgim.evaluation._predictors import GIMPredictor
from scgim.evaluation._run_result import RunResult
from scgim.evaluation._sanity_checks import audit_control
from scgim.evaluation._scoring import ScoringSettings
from scgim.evaluation._splits import split
from scgim.evaluation._training_screen import ScreenKeys
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
from scgim.evaluation.report._mechanism_section import (
    MechanismFindings,
    add_mechanism,
    find_mechanisms,
)
from scgim.evaluation.report._report import describe_settings, describe_versions
from scgim.evaluation.report._restarts_section import (
    TOGETHER,
    Restarts,
    add_restarts,
    train_restarts,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    import anndata as ad

    from scgim.evaluation._claim import Verdict
    from scgim.evaluation._evaluate import Evaluation
    from scgim.evaluation._splits import Split, SplitKind

NAME = "GIM"
CLAIM = "claim"
CLAIM_SPLITS: tuple[ReportSplit, ReportSplit] = ("drug", "group")
NEEDS_FEATURES = ("perturbation", "group", CLAIM)

ReportSplit = Literal[
    "drug",
    "perturbation",
    "interior_dose",
    "top_dose",
    "group",
    "context",
    "perturbation_in_context",
    "combination",
    "claim",
]


@dataclass(frozen=True)
class ReportSettings:
    """How a screen is evaluated.

    Attributes
    ----------
    split
        What is held out, see :func:`scgim.evaluation.split`; ``"drug"`` is ``"perturbation"``, and
        ``"claim"`` stands for ``"drug"`` and ``"group"`` one after the other.
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
    plate
        Column of ``obs`` with plates or wells, whose control cells are compared with each other.
    """

    split: ReportSplit = "drug"
    fraction: float = 0.2
    seeds: Sequence[int] = (0, 1, 2)
    restarts: int = 3
    n_nodes: int = 16
    max_epochs: int | None = None
    plate: str | None = None

    def __post_init__(self) -> None:
        """Check what every screen asks for."""
        check_choice("split", self.split, get_args(ReportSplit))
        check_at_least("len(seeds)", len(self.seeds), 1)
        check_at_least("restarts", self.restarts, 1)

    @property
    def kind(self) -> SplitKind:
        """The kind of split as :func:`scgim.evaluation.split` names it."""
        return "perturbation" if self.split == "drug" else self.split  # type: ignore[return-value]


@dataclass(frozen=True)
class ReportProgress:
    """What :func:`write_report` is doing; as text, one line.

    Attributes
    ----------
    number
        Number of the seed, from 1.
    n_seeds
        How many seeds there are.
    seed
        The seed.
    doing
        What is going on.
    is_done
        Whether the seed is done.
    """

    number: int
    n_seeds: int
    seed: int
    doing: str
    is_done: bool = False

    def __str__(self) -> str:
        """Write it as one line."""
        return f"{self.number}/{self.n_seeds} Seed {self.seed}: {self.doing}"


@dataclass(frozen=True, kw_only=True)
class EvaluationReport(RunResult):
    """What an evaluation found, and the page about it.

    Attributes
    ----------
    page
        File that a browser opens from disk.
    verdict
        Better, on par or worse, by the claim rule.
    audit
        Whether features are used, or in words why that was not asked; of a claim, that of the split at
        random.
    control_problems
        What speaks against the control cells.
    parts
        The reports of both splits of a claim, by split; nothing else has parts.
    """

    page: Path
    verdict: Verdict
    audit: FeatureAudit | str
    control_problems: list[str]
    parts: dict[str, EvaluationReport] = field(default_factory=dict)

    @property
    def uses_features(self) -> bool | None:
        """Whether the feature audit passes, both of them for a claim; ``None`` without one."""
        if not self.parts:
            return _passes(self.audit)
        found = [part.uses_features for part in self.parts.values()]
        return None if None in found else all(found)


@dataclass(frozen=True)
class _SeedResult:
    """Evaluation of one seed, and what the page shows beside its scores."""

    seed: int
    split: Split
    evaluation: Evaluation
    coverage: pd.DataFrame
    errors: pd.DataFrame
    audit: FeatureAudit | str
    restarts: Restarts | None
    mechanism: MechanismFindings


def write_report(
    adata: ad.AnnData,
    out: str | os.PathLike[str],
    *,
    keys: ScreenKeys | None = None,
    groups: pd.Series | None = None,
    settings: ReportSettings | None = None,
    title: str = "Evaluation",
    about: Mapping[str, str] | None = None,
    progress: Callable[[ReportProgress], object] | None = None,
) -> EvaluationReport:
    """Hold out part of a screen, train on the rest, and write a page that says whether GIM is better.

    This is what ``scgim evaluate`` runs: for each seed, a split, a training, all scores beside all
    baselines and ceilings; then the verdict by the claim rule, the feature audit, the audit of the
    control cells, and trainings with other seeds on the first split.

    Parameters
    ----------
    adata
        The screen, which is not changed.
    out
        Folder to write: ``report.html``, a page that needs no network; ``figures/``; and ``tables/``
        with ``scores.csv``, ``paired_differences.csv``, ``coverage.csv``, ``feature_audit.csv`` where
        there was an audit, and each split as ``split_seed0.json`` (see :meth:`Split.load`). With
        ``split="claim"`` all of these are in ``drug/`` and ``group/``, and the page joins both.
    keys
        Where the design of the screen is.
    groups
        Group of each perturbation, held out together by the splits ``"group"`` and ``"claim"``; in
        others, for the baseline :class:`SameClassMean`.
    settings
        What is held out, and sizes.
    title
        Title of the page.
    about
        What else the page says of the run, such as the name of a file.
    progress
        Called with what is going on, for example ``print``.

    Returns
    -------
    The verdict, the scores and where the page is.

    Raises
    ------
    ValueError
        When the design is not where ``keys`` says, when the split lacks groups, contexts, doses or
        features, or leaves nothing to train on.

    See Also
    --------
    evaluate : Scores of any predictor on one split, without a page.

    Examples
    --------
    >>> from scgim.evaluation import ReportSettings, write_report
    >>> adata = scgim.datasets.simulate_screen()
    >>> report = write_report(adata, "evaluation", progress=print)  # doctest: +SKIP
    >>> print(report.verdict.sentence)  # doctest: +SKIP
    """
    settings, keys = settings or ReportSettings(), keys or ScreenKeys()
    run = _Run(adata, keys, groups, title, dict(about or {}), progress or (lambda _: None))
    run.check(settings)
    names = CLAIM_SPLITS if settings.split == CLAIM else (settings.split,)
    # All splits are chosen first: what is wrong with one is known now, and not after a training.
    splits = {name: run.splits(replace(settings, split=name)) for name in names}
    for name in names:
        warn_too_few_held_out(name, splits[name])
    if settings.split == CLAIM:
        return _write_claim(run, Path(out), settings, splits)
    return _write_split(run, Path(out), settings, splits[settings.split])


@dataclass(frozen=True)
class _Run:
    """What is the same for both splits of a claim."""

    adata: ad.AnnData
    keys: ScreenKeys
    groups: pd.Series | None
    title: str
    about: dict[str, str]
    progress: Callable[[ReportProgress], object]

    def check(self, settings: ReportSettings) -> None:
        """Raise now, rather than after a training, if something is missing."""
        check_split_argument(
            settings.split,
            "groups",
            is_given=settings.split not in {"group", CLAIM} or self.groups is not None,
        )
        check_has_features_for(settings.kind, has_features=self.keys.features is not None)
        if settings.plate is not None:
            check_has_column("plate", settings.plate, self.adata.obs.columns)

    def splits(self, settings: ReportSettings) -> list[Split]:
        """Choose what each seed holds out."""
        return [
            split(
                self.adata,
                settings.kind,
                fraction=settings.fraction,
                seed=seed,
                keys=self.keys,
                groups=self.groups,
            )
            for seed in settings.seeds
        ]

    def describe(self, settings: ReportSettings) -> dict[str, str]:
        """Say which versions ran with which settings."""
        groups = None if self.groups is None else str(self.groups.name)
        used = asdict(self.keys) | asdict(settings) | {"groups": groups}
        return describe_versions() | describe_settings(used) | self.about


def _write_claim(
    run: _Run, out: Path, settings: ReportSettings, splits: Mapping[ReportSplit, list[Split]]
) -> EvaluationReport:
    """Evaluate unseen perturbations at random and by group, and join both into the whole claim."""
    assert run.groups is not None
    parts: dict[str, EvaluationReport] = {
        name: _write_split(run, out / name, replace(settings, split=name), splits[name])
        for name in CLAIM_SPLITS
    }
    at_random, by_group = parts.values()
    found = [part.uses_features for part in parts.values()]
    verdict = judge_overall(
        at_random.verdict,
        by_group.verdict,
        uses_features=None if None in found else all(found),
        grouping=str(run.groups.name),
    )
    folder = OutputFolder(out)
    summary = [verdict.sentence]
    for name, part in parts.items():
        where = f"--split {name}"
        summary.append(f"{where}: {part.verdict.sentence}")
        add_differences(folder, part.verdict, where)
        folder.add_table(difference_report(part.verdict, where))
        add_audit(folder, part.audit, where)
    pages = " and ".join(f"{name}/report.html" for name in parts)
    summary.append(f"Everything else is on the pages {pages}.")
    page = folder.write_report(f"{run.title}, the whole claim", summary, run.describe(settings))
    printed = [line for part in parts.values() for line in part.shown]
    scores = pd.concat([part.scores for part in parts.values()], ignore_index=True)
    return _report(
        run,
        settings,
        page=page,
        scores=scores,
        verdict=verdict,
        audit=at_random.audit,
        control_problems=at_random.control_problems,
        shown=[*printed, verdict.sentence, f"Open {page} in a browser."],
        parts=parts,
    )


def _write_split(
    run: _Run, out: Path, settings: ReportSettings, splits: list[Split]
) -> EvaluationReport:
    start = time.perf_counter()
    controls = audit_control(run.adata, keys=run.keys, by=settings.plate)
    results = [
        _run_seed(run, chosen, settings, number) for number, chosen in enumerate(splits, start=1)
    ]
    scores = pd.concat([result.evaluation.scores for result in results], ignore_index=True)
    audit = join_found({result.seed: result.audit for result in results})
    verdict = judge(scores, NAME, uses_features=_passes(audit))
    folder = OutputFolder(out)
    _write_tables(folder.path / "tables", results, scores, verdict, audit)
    add_differences(folder, verdict)
    add_tables(folder, scores, verdict)
    add_collapse(folder, [result.evaluation for result in results], NAME)
    add_audit(folder, audit)
    add_restarts(folder, results[0].restarts)
    add_mechanism(folder, results[0].mechanism)
    add_control(folder, controls, settings.plate)
    errors = pd.concat([result.errors for result in results], ignore_index=True)
    add_figures(folder, scores, verdict, results[0].evaluation, _coverage_of(results), errors)
    add_left_out(folder, scores)
    page = folder.write_report(
        run.title,
        [*summarize(verdict, audit, scores, settings.split), *controls.problems],
        run.describe(settings) | _describe_results(results, time.perf_counter() - start),
    )
    seconds = time.perf_counter() - start
    return _report(
        run,
        settings,
        page=page,
        scores=scores.assign(split=settings.split),
        verdict=verdict,
        audit=audit,
        control_problems=controls.problems,
        shown=[
            verdict.sentence,
            *([] if isinstance(audit, str) else [audit.sentence]),
            *(f"[bold]Control cells:[/] {problem}" for problem in controls.problems),
            f"Done in {seconds:.0f} s. Open {page} in a browser.",
        ],
    )


def _report(
    run: _Run,
    settings: ReportSettings,
    *,
    scores: pd.DataFrame,
    verdict: Verdict,
    **found: Any,  # noqa: ANN401 - fields of the report
) -> EvaluationReport:
    """Put what was found into one value, with all numbers for a JSON file."""
    differences = verdict.differences
    return EvaluationReport(
        scores=scores,
        tables={"comparison": _compare(scores), "differences": differences},
        claims=[verdict.sentence],
        settings=settings,
        document={
            "benchmark": "evaluation",
            "split": settings.split,
            "verdict": verdict.word,
            "claims": [verdict.sentence],
            "settings": run.describe(settings),
            "differences": differences,
            "scores": scores,
        },
        verdict=verdict,
        **found,
    )


def _compare(scores: pd.DataFrame) -> pd.DataFrame:
    """Average all scores of every predictor over conditions and seeds."""
    return scores.pivot_table(
        index="predictor", columns=["metric", "split"], values="value", sort=False, dropna=False
    )


def _run_seed(run: _Run, chosen: Split, settings: ReportSettings, number: int) -> _SeedResult:
    seed = chosen.seed
    step = ReportProgress(number, len(settings.seeds), seed, "")

    def show(doing: str) -> None:
        run.progress(replace(step, doing=doing))

    gim = GIMPredictor(
        NAME,
        n_nodes=settings.n_nodes,
        measure_gauge=False,
        train_kwargs={"max_epochs": settings.max_epochs},
        seed=seed,
    )
    scoring = ScoringSettings(seed=seed)
    evaluation = run_evaluation(
        gim, run.adata, chosen, classes=run.groups, settings=scoring, progress=show
    )
    coverage = coverage_at(COVERAGE_LEVELS, gim, evaluation, scoring).assign(seed=seed)
    errors = condition_errors(gim, evaluation, scoring).assign(seed=seed)
    show("feature audit")
    audit = audit_evaluation(gim, evaluation, seed)
    n_trainings = settings.restarts if number == 1 else 1
    restarts = train_restarts(gim, evaluation, scoring, n_trainings, show)
    done = f"{len(chosen.held_out)} conditions held out"
    run.progress(replace(step, doing=done, is_done=True))
    held_out = evaluation.truth.plain["perturbation"].tolist()
    mechanism = find_mechanisms(gim.model, held_out)
    return _SeedResult(seed, chosen, evaluation, coverage, errors, audit, restarts, mechanism)


def _passes(audit: FeatureAudit | str) -> bool | None:
    """Tell whether an audit says that features are used; ``None`` without one."""
    return None if isinstance(audit, str) else audit.uses_features


def _coverage_of(results: list[_SeedResult]) -> pd.DataFrame:
    tables = [result.coverage for result in results]
    first = results[0]
    if first.restarts is not None:
        tables.append(first.restarts.coverage.assign(seed=f"{first.seed}, {TOGETHER}"))
    return pd.concat(tables, ignore_index=True)


def _write_tables(
    tables: Path,
    results: list[_SeedResult],
    scores: pd.DataFrame,
    verdict: Verdict,
    audit: FeatureAudit | str,
) -> None:
    tables.mkdir(parents=True, exist_ok=True)
    write_csv(scores, tables / "scores.csv", index=False)
    write_csv(verdict.differences, tables / "paired_differences.csv", index=False)
    write_csv(_coverage_of(results), tables / "coverage.csv", index=False)
    if isinstance(audit, FeatureAudit):
        write_csv(audit.effects, tables / "feature_audit.csv", index=False)
    for result in results:
        result.split.save(tables / f"split_seed{result.seed}.json")


def _describe_results(results: list[_SeedResult], seconds: float) -> dict[str, str]:
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


def check_has_features_for(kind: str, *, has_features: bool) -> None:
    """Raise if whole perturbations are held out and nothing is known about them.

    Parameters
    ----------
    kind
        Kind of split.
    has_features
        Whether the screen has features of perturbations.
    """
    if kind in NEEDS_FEATURES and not has_features:
        msg = (
            f"`split={kind!r}` holds out whole perturbations, but `keys.features` is None, so a model "
            "has nothing to predict them by. Name the entry of `adata.uns` with their features, or "
            "hold out something else: `interior_dose`, `top_dose`, `perturbation_in_context` or "
            "`combination`."
        )
        raise ValueError(msg)


def warn_too_few_held_out(name: str, splits: Sequence[Split]) -> None:
    """Warn before hours of training if too few perturbations are held out for a verdict.

    Parameters
    ----------
    name
        Kind of split.
    splits
        The split of each seed.
    """
    n_perturbations = [chosen.held_out[chosen.keys.perturbation].nunique() for chosen in splits]
    n_enough = sum(n >= MIN_PERTURBATIONS for n in n_perturbations)
    if n_enough < math.ceil(MIN_SHARE_OF_SEEDS * len(splits)):
        counts = ", ".join(
            f"{n} (seed {chosen.seed})" for n, chosen in zip(n_perturbations, splits, strict=True)
        )
        names = quote_some(sorted(splits[0].held_out[splits[0].keys.perturbation].unique()))
        warn(
            f"Too few perturbations are held out by `split={name!r}` for an interval: {counts}, where "
            f"{MIN_PERTURBATIONS} are needed; seed {splits[0].seed} holds out {names}. The verdict can only be 'on par', "
            "whatever is predicted. Raise `fraction`, or choose another split."
        )
