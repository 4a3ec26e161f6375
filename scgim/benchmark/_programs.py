"""The benchmark of World P: GIM beside baselines and ceilings on simulated screens."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from rich.table import Table

from scgim._messages import check_at_least, check_choice
from scgim.benchmark._figures import (
    ABSTAINED,
    ENERGY,
    FEATURE_USE,
    GIM_NAME,
    PROGRAMS_FIGURES,
    R2,
    SECONDS,
    SHUFFLED_NAME,
    figures_table,
    summarize,
)
from scgim.benchmark._held_out_truth import HeldOutTruth
from scgim.benchmark._mechanism_scores import MechanismScores
from scgim.benchmark._world_ceilings import OracleGenerator, ReplicateCeiling
from scgim.benchmark._world_scores import (
    audit_at_top_dose,
    score_predictions,
    score_uncertainty,
    to_rows,
    value_of,
    world_baselines,
)
from scgim.datasets import ProgramsWorld
from scgim.evaluation import GIMPredictor, Predictor, RunResult
from scgim.evaluation._splits import perturbation_folds
from scgim.evaluation._stand_ins import ablate_all, with_features
from scgim.evaluation._training_screen import TrainingScreen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

ProgramsSplit = Literal["conditions", "class"]

SPLITS: tuple[ProgramsSplit, ...] = ("conditions", "class")
SPOKEN_SPLITS = ("unseen_drug", "unseen_class", "interior_dose")
COLUMNS = ["seed", "scenario", "predictor", "split", "metric", "value"]
AUDIT_COLUMNS = ["seed", "predictor", "verdict", "sentence"]
PACKAGES = ("scgim", "scvi-tools", "torch", "scikit-learn", "numpy")
SPLIT_LABELS = {
    "interior_dose": "interior dose",
    "top_dose": "top dose",
    "unseen_drug": "unseen drug",
    "unseen_sum": "sum of two",
    "unseen_class": "unseen class",
}


@dataclass(frozen=True)
class ProgramsSettings:
    """Sizes of the benchmark; the defaults are those of World P.

    Attributes
    ----------
    world
        A world with the sizes of all; seed and scenario are set by :func:`benchmark_programs`.
    max_epochs
        Training epochs of GIM, ``None`` for its default.
    audit_features
        Whether GIM is also trained with features shuffled between drugs.
    """

    world: ProgramsWorld = field(default_factory=ProgramsWorld)
    max_epochs: int | None = None
    audit_features: bool = True

    def gim(
        self, name: str = GIM_NAME, *, seed: int = 0, measure_gauge: bool = True
    ) -> GIMPredictor:
        """Make an untrained GIM with as many nodes as the world has.

        Parameters
        ----------
        name
            Name in the tables of results.
        seed
            Seed of initialisation and training.
        measure_gauge
            Whether to choose the basis of the nodes, for targets and graph, and time it.

        Returns
        -------
        The predictor.
        """
        train_kwargs = {} if self.max_epochs is None else {"max_epochs": self.max_epochs}
        return GIMPredictor(
            name,
            n_nodes=self.world.n_nodes,
            train_kwargs=train_kwargs,
            measure_gauge=measure_gauge,
            seed=seed,
        )

    def describe(self) -> dict[str, object]:
        """Put all sizes into one flat dictionary.

        Returns
        -------
        Names and values, without seed and scenario.
        """
        settings = asdict(self)
        sizes = settings.pop("world")
        del sizes["seed"], sizes["scenario"]
        return sizes | settings


def benchmark_programs(
    seeds: Iterable[int],
    *,
    scenario: Literal["linear", "tanh", "hard"] = "linear",
    split: ProgramsSplit = "conditions",
    settings: ProgramsSettings | None = None,
    console: Console | None = None,
) -> RunResult:
    """Train GIM and all baselines on simulated screens and score them on what was held out.

    Parameters
    ----------
    seeds
        Seeds of the worlds.
    scenario
        ``"linear"``, ``"tanh"`` or ``"hard"``, see :class:`~scgim.datasets.ProgramsWorld`.
    split
        ``"conditions"``: interior doses, top doses, unseen drugs of known mechanism classes, and sums
        of two classes. ``"class"``: all drugs of one mechanism class.
    settings
        Sizes, for example smaller ones for a quick look.
    console
        Where to say how far it is, ``None`` for silence.

    Returns
    -------
    Scores of all predictors, seeds, splits and metrics.

    See Also
    --------
    benchmark_speed : Cells per second beside scVI.
    """
    seeds = list(seeds)
    check_at_least("number of seeds", len(seeds), 1)
    check_choice("split", split, SPLITS)
    settings = settings or ProgramsSettings()
    scores, audits = [], []
    for seed in seeds:
        world = replace(settings.world, seed=seed, scenario=scenario)
        rows, audited = _score_world(world, split, settings, console)
        scores.append(pd.DataFrame(rows).assign(seed=seed, scenario=scenario))
        audits.append(pd.DataFrame(audited, columns=AUDIT_COLUMNS).assign(seed=seed))
    return _result(
        pd.concat(scores, ignore_index=True)[COLUMNS],
        pd.concat(audits, ignore_index=True)[AUDIT_COLUMNS],
        scenario,
        split,
        settings,
    )


def _result(
    scores: pd.DataFrame,
    audits: pd.DataFrame,
    scenario: str,
    split: ProgramsSplit,
    settings: ProgramsSettings,
) -> RunResult:
    """Summarise scores; bars were set for the linear scenario."""
    figures = summarize(scores, PROGRAMS_FIGURES, with_bars=scenario == "linear")
    comparison = _compare(scores)
    claims = _claims(scores, comparison) if split == "class" else []
    seeds = scores["seed"].unique().tolist()
    return RunResult(
        scores=scores,
        tables={"figures": figures, "comparison": comparison, "audits": audits},
        claims=claims,
        settings=settings,
        document={
            "benchmark": "programs",
            "scenario": scenario,
            "split": split,
            "claims": claims,
            "settings": settings.describe(),
            "versions": {name: version(name) for name in PACKAGES}
            | {"python": platform.python_version()},
            "figures": figures,
            "audits": audits,
            "scores": scores,
        },
        shown=[
            figures_table(f"World P, scenario {scenario}, seeds {seeds}", figures),
            _comparison_table(comparison),
            *claims,
            *audits["sentence"],
        ],
    )


def _compare(scores: pd.DataFrame) -> pd.DataFrame:
    """Average R² and energy distance of every predictor over seeds, by metric, split, mean and sd."""
    table = scores[scores["metric"].isin([R2, ENERGY])].pivot_table(
        index="predictor",
        columns=["metric", "split"],
        values="value",
        aggfunc=["mean", "std"],
        sort=False,
        dropna=False,
    )
    return table.reorder_levels([1, 2, 0], axis=1).rename(columns={"std": "sd"})


def _claims(scores: pd.DataFrame, comparison: pd.DataFrame) -> list[str]:
    """Say what may not be claimed of an unseen class."""
    r2 = comparison[R2, "unseen_class", "mean"].drop(["oracle", "replicate ceiling"])
    best = r2.drop(GIM_NAME).idxmax()
    abstained = scores.loc[scores["metric"] == ABSTAINED, "value"].mean()
    sentence = (
        "No claim for drugs of an unseen mechanism class: features do not reach a mechanism that no "
        f"training drug has (R² {r2[GIM_NAME]:.3f} of GIM, {r2[best]:.3f} of {best}, 0 of no "
        f"effect). GIM abstains from {abstained:.0%} of these conditions."
    )
    return [sentence]


def _comparison_table(comparison: pd.DataFrame) -> Table:
    title = (
        "R² of the mean shift (1 perfect, 0 no effect) / energy distance (0 replicate, 1 no effect)"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("predictor")
    shown = [split for split in SPLIT_LABELS if (R2, split, "mean") in comparison]
    for split in shown:
        table.add_column(SPLIT_LABELS[split], justify="right")
    for predictor, row in comparison.iterrows():
        values = [(row[R2, split, "mean"], row[ENERGY, split, "mean"]) for split in shown]
        cells = ["-" if np.isnan(r2) else f"{r2:.3f} / {energy:.3f}" for r2, energy in values]
        table.add_row(str(predictor), *cells)
    return table


def _score_world(
    world: ProgramsWorld, split: ProgramsSplit, settings: ProgramsSettings, console: Console | None
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Score all predictors, and audit the use of features."""
    screen, truth = _hold_out(world, split)
    is_whole = split == "conditions"
    gim = settings.gim(seed=world.seed, measure_gauge=is_whole)
    ceilings: list[Predictor] = [
        ReplicateCeiling(world, n_measured=world.n_cells),
        OracleGenerator(world),
    ]
    rows: list[dict[str, object]] = []
    audits: list[dict[str, object]] = []
    predictors: list[Predictor] = [gim, *world_baselines(), *ceilings]
    for predictor in predictors:
        rows += _fit_and_score(predictor, screen, truth, console, world.seed)
    _, lower, upper = gim.predict_interval(truth.conditions, level=0.8)
    rows += score_uncertainty(gim, lower, upper, truth)
    if is_whole:
        rows += MechanismScores(gim, world, screen).rows()
    if is_whole and settings.audit_features:
        shuffled, shuffled_screen = _shuffle_features(settings, world, screen)
        rows += _fit_and_score(shuffled, shuffled_screen, truth, console, world.seed)
        use = shuffled.model.get_generator_report().feature_use
        rows += to_rows(SHUFFLED_NAME, {FEATURE_USE: {"": use}})
        unseen = truth.where(truth.splits["unseen_drug"])
        audits += [
            audit_at_top_dose(model, its_screen, unseen, seed=world.seed)[0]
            for model, its_screen in ((gim, screen), (shuffled, shuffled_screen))
        ]
    return rows, audits


def _hold_out(world: ProgramsWorld, split: ProgramsSplit) -> tuple[TrainingScreen, HeldOutTruth]:
    """Simulate the training cells and the truth of what is held out."""
    adata = world.screen()
    if split == "conditions":
        screen = TrainingScreen(adata)
        return screen, HeldOutTruth.of(world, screen)
    groups = world.truth["mechanism_class"]["mechanism_class"]
    fold = perturbation_folds(adata, n_folds=world.n_classes, seed=world.seed, groups=groups)[0]
    screen = TrainingScreen(fold.training(adata))
    held_out = fold.held_out.assign(split="unseen_class")
    return screen, HeldOutTruth.of(world, screen, held_out=held_out)


def _fit_and_score(
    predictor: Predictor,
    screen: TrainingScreen,
    truth: HeldOutTruth,
    console: Console | None,
    seed: int,
) -> list[dict[str, object]]:
    start = time.perf_counter()
    predictor.fit(screen)
    seconds = time.perf_counter() - start
    rows = score_predictions(predictor, predictor.predict_shift(truth.conditions), screen, truth)
    if not rows:
        return []
    if console is not None:
        r2, energy = (value_of(rows, metric, SPOKEN_SPLITS) for metric in (R2, ENERGY))
        console.print(
            f"seed {seed}, {predictor.name}: unseen drugs R² {r2:.3f}, energy distance "
            f"{energy:.3f}, fitted in {seconds:.0f} s",
            highlight=False,
        )
    return rows + to_rows(predictor.name, {SECONDS: {"": seconds}})


def _shuffle_features(
    settings: ProgramsSettings, world: ProgramsWorld, screen: TrainingScreen
) -> tuple[GIMPredictor, TrainingScreen]:
    """Make an untrained GIM, and a screen with features shuffled between drugs, seen and unseen."""
    rng = np.random.default_rng([world.seed, 5])
    shuffled = with_features(screen, ablate_all(screen.features, "shuffled", rng))
    return settings.gim(SHUFFLED_NAME, seed=world.seed), shuffled
