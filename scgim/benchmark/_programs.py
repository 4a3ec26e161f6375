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

from scgim._validation._datasets import check_at_least
from scgim.benchmark._baselines import (
    GeneratorOnComponents,
    MLPEnsemble,
    NearestPerturbation,
    RidgeOnFeatures,
)
from scgim.benchmark._figures import (
    ENERGY,
    FEATURE_USE,
    GIM_NAME,
    PROGRAMS_FIGURES,
    R2,
    SECONDS,
    SHUFFLED_NAME,
    summarize,
)
from scgim.benchmark._held_out_truth import HeldOutTruth, project
from scgim.benchmark._mechanism_scores import MechanismScores
from scgim.benchmark._predictors import GIMPredictor, OracleGenerator, Predictor, ReplicateCeiling
from scgim.benchmark._result_file import to_records, write_document
from scgim.benchmark._simple_baselines import NoEffect, SameDoseMean
from scgim.benchmark._training_screen import TrainingScreen
from scgim.datasets import ProgramsWorld

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

    from scgim.benchmark._moved_control import MovedControl

CELL_SEED = 1
PACKAGES = ("scgim", "scvi-tools", "torch", "scikit-learn", "numpy")
SPLIT_LABELS = {
    "interior_dose": "interior dose",
    "top_dose": "top dose",
    "unseen_drug": "unseen drug",
    "unseen_sum": "sum of two",
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

    def gim(self, name: str = GIM_NAME, *, seed: int = 0) -> GIMPredictor:
        """Make an untrained GIM with as many nodes as the world has.

        Parameters
        ----------
        name
            Name in the tables of results.
        seed
            Seed of initialisation and training.

        Returns
        -------
        The predictor.
        """
        train_kwargs = {} if self.max_epochs is None else {"max_epochs": self.max_epochs}
        return GIMPredictor(name, n_nodes=self.world.n_nodes, train_kwargs=train_kwargs, seed=seed)

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


@dataclass(frozen=True)
class ProgramsBenchmark:
    """Scores of the benchmark of World P.

    Attributes
    ----------
    scores
        Tidy table: ``seed``, ``scenario``, ``predictor``, ``split``, ``metric``, ``value``.
    scenario
        Kind of mechanisms and interventions.
    settings
        Sizes it ran with.
    """

    scores: pd.DataFrame
    scenario: str
    settings: ProgramsSettings

    def figures(self) -> pd.DataFrame:
        """Average the figures over seeds, with the bars of the linear scenario beside them.

        Returns
        -------
        One row per figure: ``figure``, ``mean``, ``sd``, ``worst``, ``n_seeds``, ``bar``,
        ``moonshot`` and ``reached``.
        """
        return summarize(self.scores, PROGRAMS_FIGURES, with_bars=self.scenario == "linear")

    def comparison(self) -> pd.DataFrame:
        """Average R² and energy distance of every predictor over seeds.

        Returns
        -------
        Rows: predictors. Columns: metric, split, and ``mean`` or ``sd`` over seeds.
        """
        compared = self.scores[self.scores["metric"].isin([R2, ENERGY])]
        table = compared.pivot_table(
            index="predictor",
            columns=["metric", "split"],
            values="value",
            aggfunc=["mean", "std"],
            sort=False,
            dropna=False,
        )
        return table.reorder_levels([1, 2, 0], axis=1).rename(columns={"std": "sd"})

    def write_json(self, path: Path) -> None:
        """Write scores, figures, settings and versions.

        Parameters
        ----------
        path
            File to write.
        """
        document = {
            "benchmark": "programs",
            "scenario": self.scenario,
            "settings": self.settings.describe(),
            "versions": {name: version(name) for name in PACKAGES} | {"python": _python()},
            "figures": to_records(self.figures()),
            "scores": to_records(self.scores),
        }
        write_document(document, path)

    def print(self, console: Console) -> None:
        """Print the figures with their bars, and all predictors beside each other.

        Parameters
        ----------
        console
            Where to print.
        """
        console.print(self._figures_table())
        console.print(self._comparison_table())

    def _figures_table(self) -> Table:
        seeds = self.scores["seed"].unique().tolist()
        table = Table(
            title=f"World P, scenario {self.scenario}, seeds {seeds}", title_justify="left"
        )
        for column in ("figure", "mean ± sd", "worst", "bar", "moonshot", "reached"):
            table.add_column(column, justify="left" if column == "figure" else "right")
        for row in self.figures().to_dict("records"):
            style = "red" if row["reached"] == "missed" else None
            spread = "" if np.isnan(row["sd"]) else f" ± {row['sd']:.2g}"
            table.add_row(
                row["figure"],
                f"{row['mean']:.3g}{spread}",
                f"{row['worst']:.3g}",
                row["bar"],
                row["moonshot"],
                row["reached"],
                style=style,
            )
        return table

    def _comparison_table(self) -> Table:
        comparison = self.comparison()
        title = "R² of the mean shift (1 perfect, 0 no effect) / energy distance (0 replicate, 1 no effect)"
        table = Table(title=title, title_justify="left")
        table.add_column("predictor")
        for label in SPLIT_LABELS.values():
            table.add_column(label, justify="right")
        for predictor, row in comparison.iterrows():
            cells = [
                f"{row[R2, split, 'mean']:.3f} / {row[ENERGY, split, 'mean']:.3f}"
                for split in SPLIT_LABELS
            ]
            table.add_row(str(predictor), *cells)
        return table


def benchmark_programs(
    seeds: Iterable[int],
    *,
    scenario: Literal["linear", "tanh", "hard"] = "linear",
    settings: ProgramsSettings | None = None,
    console: Console | None = None,
) -> ProgramsBenchmark:
    """Train GIM and all baselines on simulated screens and score them on what was held out.

    Parameters
    ----------
    seeds
        Seeds of the worlds.
    scenario
        ``"linear"``, ``"tanh"`` or ``"hard"``, see :class:`~scgim.datasets.ProgramsWorld`.
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
    settings = settings or ProgramsSettings()
    scores = []
    for seed in seeds:
        seed_scores = _score_seed(seed, scenario, settings, console)
        scores.append(seed_scores.assign(seed=seed, scenario=scenario))
    columns = ["seed", "scenario", "predictor", "split", "metric", "value"]
    return ProgramsBenchmark(pd.concat(scores, ignore_index=True)[columns], scenario, settings)


def baselines() -> list[MovedControl]:
    """Make the baselines that every benchmark contains.

    Returns
    -------
    Unfitted predictors, weakest first.
    """
    return [
        NoEffect(),
        SameDoseMean(),
        NearestPerturbation(),
        RidgeOnFeatures(),
        MLPEnsemble(),
        GeneratorOnComponents(),
    ]


def _score_seed(
    seed: int,
    scenario: Literal["linear", "tanh", "hard"],
    settings: ProgramsSettings,
    console: Console | None,
) -> pd.DataFrame:
    world = replace(settings.world, seed=seed, scenario=scenario)
    screen = TrainingScreen(world.screen())
    truth = HeldOutTruth.of(world, screen)
    gim = settings.gim(seed=seed)
    ceilings: list[Predictor] = [
        ReplicateCeiling(world, n_measured=world.n_cells),
        OracleGenerator(world),
    ]
    rows = []
    predictors: list[Predictor] = [gim, *baselines(), *ceilings]
    for predictor in predictors:
        predictor_rows = _score_predictor(predictor, screen, truth)
        rows += predictor_rows
        _say(console, seed, predictor.name, predictor_rows)
    rows += MechanismScores(gim, world, screen, truth).rows()
    if settings.audit_features:
        audit_rows = _audit(settings, world, screen, truth)
        rows += audit_rows
        _say(console, seed, SHUFFLED_NAME, audit_rows)
    return pd.DataFrame(rows)


def _score_predictor(
    predictor: Predictor, screen: TrainingScreen, truth: HeldOutTruth
) -> list[dict[str, object]]:
    start = time.perf_counter()
    predictor.fit(screen)
    seconds = time.perf_counter() - start
    shift = predictor.predict_shift(truth.conditions)
    n_cells = truth.cells.shape[1]
    cells = predictor.predict_cells(truth.conditions, n_cells, seed=CELL_SEED)
    by_metric = {
        R2: truth.score_shift(shift),
        ENERGY: truth.score_cells(project(screen, cells)),
        SECONDS: {"": seconds},
    }
    return [
        {"predictor": predictor.name, "split": split, "metric": metric, "value": value}
        for metric, by_split in by_metric.items()
        for split, value in by_split.items()
    ]


def _audit(
    settings: ProgramsSettings, world: ProgramsWorld, screen: TrainingScreen, truth: HeldOutTruth
) -> list[dict[str, object]]:
    """Score GIM when features are shuffled between drugs, seen and unseen."""
    adata = screen.adata.copy()
    features = adata.uns[screen.keys.features]
    order = np.random.default_rng([world.seed, 5]).permutation(len(features))
    adata.uns[screen.keys.features] = features.iloc[order].set_axis(features.index)
    shuffled = settings.gim(SHUFFLED_NAME, seed=world.seed)
    rows = _score_predictor(shuffled, TrainingScreen(adata, screen.keys), truth)
    use = MechanismScores(shuffled, world, screen, truth).feature_use()
    rows.append({"predictor": SHUFFLED_NAME, "split": "", "metric": FEATURE_USE, "value": use})
    return rows


def _say(console: Console | None, seed: int, name: str, rows: list[dict[str, object]]) -> None:
    if console is None:
        return
    unseen = {row["metric"]: row["value"] for row in rows if row["split"] in ("unseen_drug", "")}
    console.print(
        f"seed {seed}, {name}: unseen drugs R² {unseen[R2]:.3f}, energy distance "
        f"{unseen[ENERGY]:.3f}, fitted in {unseen[SECONDS]:.0f} s",
        highlight=False,
    )


def _python() -> str:
    return platform.python_version()
