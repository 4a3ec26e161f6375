"""The benchmark of World C: what real structures tell of simulated effects."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from rich.table import Table

from scgim._validation._datasets import check_at_least, check_choice
from scgim.benchmark._baselines import (
    GeneratorOnComponents,
    MLPEnsemble,
    NearestPerturbation,
    RidgeOnFeatures,
)
from scgim.benchmark._chemistry_ceilings import ClassOracle, StructureCeiling
from scgim.benchmark._chemistry_figures import best_baseline, chemistry_figures
from scgim.benchmark._feature_audit import FeatureAudit, audit_on
from scgim.benchmark._figures import (
    COVERAGE,
    COVERAGE_ALL,
    EFFECT_OF_FEATURES,
    ENERGY,
    FEATURE_USE,
    GIM_NAME,
    R2,
    SECONDS,
    SHUFFLED_NAME,
    VARIANCE_RATIO,
)
from scgim.benchmark._held_out_truth import HeldOutTruth, project
from scgim.benchmark._perturbation_groups import tanimoto_groups
from scgim.benchmark._predictors import GIMPredictor, Predictor, ReplicateCeiling
from scgim.benchmark._programs import CELL_SEED, PACKAGES
from scgim.benchmark._result_file import to_records, write_document
from scgim.benchmark._simple_baselines import MeanOfTreated, NoEffect, SameDoseMean
from scgim.benchmark._splits import Split, perturbation_folds
from scgim.benchmark._stand_ins import ablate_all, with_features
from scgim.benchmark._training_screen import TrainingScreen
from scgim.datasets import ChemistryWorld
from scgim.metrics import interval_coverage
from scgim.pp import molecule_scaffolds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import anndata as ad
    from numpy.typing import NDArray
    from rich.console import Console

ChemistrySplit = Literal["random", "scaffold", "similarity", "target"]
Features = Literal["structure", "annotations"]

SPLITS: tuple[ChemistrySplit, ...] = ("random", "scaffold", "similarity", "target")
FEATURES: tuple[Features, ...] = ("structure", "annotations")
N_FOLDS = 5
N_AUDIT_DRAWS = 3
COLUMNS = ["seed", "fold", "features", "predictor", "split", "metric", "value"]


@dataclass(frozen=True)
class ChemistrySettings:
    """Sizes of the benchmark; the defaults are those of World C.

    Attributes
    ----------
    world
        A world with the sizes of all; seed and features are set by :func:`benchmark_chemistry`.
    max_epochs
        Training epochs of GIM, ``None`` for its default.
    n_folds
        How many of the five folds to hold out, each with a training of its own.
    """

    world: ChemistryWorld = field(default_factory=ChemistryWorld)
    max_epochs: int | None = None
    n_folds: int = 1

    def gim(self, *, seed: int = 0) -> GIMPredictor:
        """Make an untrained GIM with as many nodes as the world has.

        Parameters
        ----------
        seed
            Seed of initialisation and training.

        Returns
        -------
        The predictor.
        """
        train_kwargs = {} if self.max_epochs is None else {"max_epochs": self.max_epochs}
        return GIMPredictor(
            n_nodes=self.world.n_nodes,
            train_kwargs=train_kwargs,
            measure_gauge=False,
            seed=seed,
        )

    def describe(self) -> dict[str, object]:
        """Put all sizes into one flat dictionary.

        Returns
        -------
        Names and values, without seed and features.
        """
        settings = asdict(self)
        sizes = settings.pop("world")
        del sizes["seed"], sizes["features"]
        return sizes | settings


@dataclass(frozen=True)
class ChemistryBenchmark:
    """Scores of the benchmark of World C.

    Attributes
    ----------
    scores
        Tidy table: ``seed``, ``fold``, ``features``, ``predictor``, ``split``, ``metric``, ``value``.
    audits
        One row per seed, fold, kind of features and GIM: ``verdict`` and ``sentence``.
    split
        Kind of split.
    settings
        Sizes it ran with.
    """

    scores: pd.DataFrame
    audits: pd.DataFrame
    split: str
    settings: ChemistrySettings

    def figures(self) -> pd.DataFrame:
        """Average the figures over seeds, with the bars of the random split beside them.

        Returns
        -------
        One row per kind of features and figure: ``features``, ``figure``, ``mean``, ``sd``, ``worst``,
        ``n_seeds``, ``bar``, ``moonshot`` and ``reached``.
        """
        tables = [
            chemistry_figures(rows, self.split, str(name)).assign(features=name)
            for name, rows in self.scores.groupby("features", sort=False)
        ]
        table = pd.concat(tables, ignore_index=True)
        return table[["features", *table.columns.drop("features")]]

    def comparison(self) -> pd.DataFrame:
        """Average R² and energy distance of every predictor over seeds.

        Returns
        -------
        Rows: features and predictor. Columns: ``R2 of the mean shift`` and ``normalised energy
        distance``.
        """
        compared = self.scores[self.scores["metric"].isin([R2, ENERGY])]
        return compared.pivot_table(
            index=["features", "predictor"], columns="metric", values="value", sort=False
        )

    @property
    def claims(self) -> list[str]:
        """What may be said of GIM on this split, a sentence per kind of features."""
        means = self.comparison()
        return [
            _claim(self.split, str(name), means.loc[name], rows)
            for name, rows in self.scores.groupby("features", sort=False)
        ]

    def write_json(self, path: Path) -> None:
        """Write scores, audits, figures, claims, settings and versions.

        Parameters
        ----------
        path
            File to write.
        """
        document = {
            "benchmark": "chemistry",
            "scenario": self.split,
            "claims": self.claims,
            "settings": self.settings.describe(),
            "versions": {name: version(name) for name in PACKAGES},
            "figures": to_records(self.figures()),
            "audits": to_records(self.audits),
            "scores": to_records(self.scores.assign(value=self.scores["value"].round(5))),
        }
        write_document(document, path)

    def print(self, console: Console) -> None:
        """Print the figures with their bars, all predictors, and what may be claimed.

        Parameters
        ----------
        console
            Where to print.
        """
        seeds = self.scores["seed"].unique().tolist()
        title = f"World C, {self.split} split, seeds {seeds}"
        table = Table(title=title, title_justify="left")
        for column in ("features", "figure", "mean ± sd", "worst", "bar", "reached"):
            table.add_column(
                column, justify="left" if column in ("features", "figure") else "right"
            )
        for row in self.figures().to_dict("records"):
            spread = "" if np.isnan(row["sd"]) else f" ± {row['sd']:.2g}"
            table.add_row(
                row["features"],
                row["figure"],
                f"{row['mean']:.3g}{spread}",
                f"{row['worst']:.3g}",
                row["bar"],
                row["reached"],
                style="red" if row["reached"] == "missed" else None,
            )
        console.print(table)
        console.print(self._comparison_table())
        for sentence in [*self.claims, *self.audits["sentence"]]:
            console.print(sentence, highlight=False)

    def _comparison_table(self) -> Table:
        title = "R² of the mean shift (1 perfect, 0 no effect) and energy distance (0 replicate, 1 no effect)"
        table = Table(title=title, title_justify="left")
        for column in ("features", "predictor", "R²", "energy distance"):
            table.add_column(column, justify="left" if column[0] in "fp" else "right")
        for (features, predictor), row in self.comparison().iterrows():
            table.add_row(features, predictor, f"{row[R2]:.3f}", f"{row[ENERGY]:.3f}")
        return table


def benchmark_chemistry(
    seeds: Iterable[int],
    *,
    split: ChemistrySplit = "random",
    features: Sequence[Features] = FEATURES,
    settings: ChemistrySettings | None = None,
    console: Console | None = None,
) -> ChemistryBenchmark:
    """Train GIM and all baselines on simulated effects of real compounds, and score unseen compounds.

    Parameters
    ----------
    seeds
        Seeds of the worlds, and of the choice of what is held out.
    split
        A fifth of the compounds is held out: at ``"random"``, or whole Bemis-Murcko scaffolds
        (``"scaffold"``), clusters of Tanimoto distance below 0.6 (``"similarity"``), or first annotated
        targets (``"target"``).
    features
        ``"structure"``, ``"annotations"`` (structure, targets and pathway) or both. GIM is trained once
        for both, for it learns from features after training.
    settings
        Sizes, for example smaller ones for a quick look.
    console
        Where to say how far it is, ``None`` for silence.

    Returns
    -------
    Scores of all predictors and seeds, and the audits of feature use.

    See Also
    --------
    benchmark_programs : The same on drugs whose features tell everything.
    """
    seeds = list(seeds)
    check_at_least("number of seeds", len(seeds), 1)
    check_choice("split", split, SPLITS)
    for name in features:
        check_choice("features", name, FEATURES)
    settings = settings or ChemistrySettings()
    scores, audits = [], []
    for seed in seeds:
        world = replace(settings.world, seed=seed)
        adata = world.screen()
        folds = perturbation_folds(adata, n_folds=N_FOLDS, seed=seed, groups=_groups(world, split))[
            : settings.n_folds
        ]
        for fold, held_out in enumerate(folds):
            run = _Fold(world, adata, held_out, split, settings, _sayer(console, seed, fold))
            for name in features:
                run.score_features(name)
            scores.append(pd.DataFrame(run.rows).assign(seed=seed, fold=fold))
            audits.append(pd.DataFrame(run.audits).assign(seed=seed, fold=fold))
    table = pd.concat(scores, ignore_index=True)[COLUMNS]
    return ChemistryBenchmark(table, pd.concat(audits, ignore_index=True), split, settings)


class _Fold:
    """Scores of what one fold holds out."""

    def __init__(
        self,
        world: ChemistryWorld,
        adata: ad.AnnData,
        held_out: Split,
        split: str,
        settings: ChemistrySettings,
        say: Callable[[str], None],
    ) -> None:
        self.world, self.settings, self.split, self.say = world, settings, split, say
        self.rows: list[dict[str, object]] = []
        self.audits: list[dict[str, object]] = []
        self.screen = TrainingScreen(held_out.training(adata))
        conditions = held_out.held_out.assign(split=split)
        self.truth = HeldOutTruth.of(world, self.screen, held_out=conditions)
        self.gim = settings.gim(seed=world.seed)
        start = time.perf_counter()
        self.gim.fit(self.screen)
        self._seconds = time.perf_counter() - start

    def score_features(self, features: Features) -> None:
        """Score every predictor on one kind of features."""
        screen = with_features(self.screen, replace(self.world, features=features).drug_features)
        gim = self.gim.with_features(screen, GIM_NAME)
        rng = np.random.default_rng([self.world.seed, 6])
        shuffled_screen = with_features(screen, ablate_all(screen.features, "shuffled", rng))
        shuffled = self.gim.with_features(shuffled_screen, SHUFFLED_NAME)
        others: list[Predictor] = [
            NoEffect(),
            MeanOfTreated(),
            SameDoseMean(),
            NearestPerturbation(),
            RidgeOnFeatures(),
            MLPEnsemble(),
            GeneratorOnComponents(),
            ClassOracle(self.world.first_target),
            StructureCeiling(self.world),
            ReplicateCeiling(self.world, n_measured=self.world.n_cells),
        ]
        for model, its_screen in ((gim, screen), (shuffled, shuffled_screen)):
            self._score(model, features)
            self._score_model(model, its_screen, features)
        for predictor in others:
            predictor.fit(screen)
            self._score(predictor, features)
        self._add(GIM_NAME, features, SECONDS, self._seconds, split="")

    def _score(self, predictor: Predictor, features: str) -> None:
        shift = predictor.predict_shift(self.truth.conditions)
        r2 = self.truth.score_shift(shift)[self.split]
        n_cells = self.truth.cells.shape[1]
        cells = predictor.predict_cells(self.truth.conditions, n_cells, seed=CELL_SEED)
        distance = self.truth.score_cells(project(self.screen, cells))[self.split]
        self._add(predictor.name, features, R2, r2)
        self._add(predictor.name, features, ENERGY, distance)
        self._add(predictor.name, features, VARIANCE_RATIO, self._variance_ratio(shift))
        self.say(f"{features}, {predictor.name}: R² {r2:.3f}, energy distance {distance:.3f}")

    def _score_model(self, gim: GIMPredictor, screen: TrainingScreen, features: str) -> None:
        """Score what only a GIM says: intervals, feature use, and the audit at the highest dose."""
        _, lower, upper = gim.predict_interval(self.truth.conditions, level=0.8)
        covered = self.truth.score_interval(lower, upper)[self.split]
        everywhere = interval_coverage(lower, upper, self.truth.shift)
        self._add(gim.name, features, COVERAGE, covered)
        self._add(gim.name, features, COVERAGE_ALL, everywhere)
        use = gim.model.get_generator_report().feature_use
        self._add(gim.name, features, FEATURE_USE, use)
        dose = self.truth.conditions["dose"]
        is_top = (dose == dose.max()).to_numpy()
        audit = audit_on(
            gim,
            screen,
            self.truth.conditions.loc[is_top, ["drug", "dose"]].reset_index(drop=True),
            self.truth.shift[is_top],
            n_draws=N_AUDIT_DRAWS,
            seed=self.world.seed,
        )
        shuffled = audit.effects.set_index("ablation").loc["shuffled"]
        self._add(gim.name, features, EFFECT_OF_FEATURES, shuffled["effect"])
        self.audits.append(_audit_row(audit, features))
        self.say(f"{features}, {audit.sentence}")

    def _variance_ratio(self, shift: NDArray[np.float64]) -> float:
        """Variance between drugs at each dose, predicted over true, pooled."""
        dose = self.truth.conditions["dose"].to_numpy()

        def between(values: NDArray[np.float64]) -> float:
            return sum(values[dose == one].var(axis=0).sum() for one in np.unique(dose))

        return float(between(shift) / between(self.truth.shift))

    def _add(
        self, predictor: str, features: str, metric: str, value: float, split: str | None = None
    ) -> None:
        split = self.split if split is None else split
        self.rows.append(
            {
                "predictor": predictor,
                "features": features,
                "split": split,
                "metric": metric,
                "value": float(value),
            }
        )


def _groups(world: ChemistryWorld, split: str) -> pd.Series | None:
    """Group of each drug that must not be torn apart; ``None`` at random."""
    if split == "scaffold":
        scaffold = molecule_scaffolds(world.drugs["smiles"])
        # A molecule without rings has no scaffold to share.
        return scaffold.where(scaffold != "", scaffold.index.to_series())
    if split == "similarity":
        return tanimoto_groups(world.structure.filter(like="morgan:"), threshold=0.6)
    return world.first_target.rename("first target") if split == "target" else None


def _claim(split: str, features: str, means: pd.DataFrame, scores: pd.DataFrame) -> str:
    """Say what the scores allow, by the best of the other predictors."""
    best = best_baseline(scores, R2)
    own, other = means.loc[GIM_NAME, R2], means.loc[best, R2]
    numbers = (
        f"R² {own:.3f} of GIM, {other:.3f} of {best}, 0 of no effect, "
        f"{means.loc['feature ceiling', R2]:.3f} with the true interventions of all training drugs"
    )
    if split == "target":
        return (
            f"No claim for drugs of an unseen target, {features}: features do not reach a mechanism "
            f"that no training drug has ({numbers})."
        )
    return f"Unseen drugs, {split} split, {features}: {numbers}."


def _audit_row(audit: FeatureAudit, features: str) -> dict[str, object]:
    return {
        "features": features,
        "predictor": audit.predictor,
        "verdict": audit.verdict,
        "sentence": audit.sentence,
    }


def _sayer(console: Console | None, seed: int, fold: int) -> Callable[[str], None]:
    if console is None:
        return lambda _: None
    return lambda text: console.print(f"seed {seed}, fold {fold}, {text}", highlight=False)
