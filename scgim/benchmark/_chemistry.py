"""The benchmark of World C: what real structures tell of simulated effects."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from rich.table import Table

from scgim._messages import check_at_least, check_choice
from scgim.benchmark._chemistry_ceilings import ClassOracle, StructureCeiling
from scgim.benchmark._chemistry_figures import best_baseline, chemistry_figures
from scgim.benchmark._figures import (
    COVERAGE_ALL,
    EFFECT_OF_FEATURES,
    ENERGY,
    FEATURE_USE,
    GIM_NAME,
    R2,
    SECONDS,
    SHUFFLED_NAME,
    VARIANCE_RATIO,
    figures_table,
)
from scgim.benchmark._held_out_truth import HeldOutTruth
from scgim.benchmark._programs import PACKAGES
from scgim.benchmark._world_ceilings import ReplicateCeiling
from scgim.benchmark._world_scores import (
    audit_at_top_dose,
    score_predictions,
    score_uncertainty,
    to_rows,
    value_of,
    world_baselines,
)
from scgim.datasets import ChemistryWorld
from scgim.evaluation import GIMPredictor, Predictor, RunResult
from scgim.evaluation._perturbation_groups import tanimoto_groups
from scgim.evaluation._splits import Split, perturbation_folds
from scgim.evaluation._splits import split as choose_split
from scgim.evaluation._stand_ins import ablate_all, with_features
from scgim.evaluation._training_screen import TrainingScreen
from scgim.metrics import interval_coverage
from scgim.pp import molecule_scaffolds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import anndata as ad
    from numpy.typing import NDArray
    from rich.console import Console

ChemistrySplit = Literal["random", "scaffold", "similarity", "target", "interior_dose", "top_dose"]
Features = Literal["structure", "annotations"]

DOSE_SPLITS: tuple[Literal["interior_dose", "top_dose"], ...] = ("interior_dose", "top_dose")
SPLITS: tuple[ChemistrySplit, ...] = ("random", "scaffold", "similarity", "target", *DOSE_SPLITS)
FEATURES: tuple[Features, ...] = ("structure", "annotations")
N_FOLDS = 5
COLUMNS = ["seed", "fold", "features", "predictor", "split", "metric", "value"]
AUDIT_COLUMNS = ["seed", "fold", "features", "predictor", "verdict", "sentence"]


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


def benchmark_chemistry(
    seeds: Iterable[int],
    *,
    split: ChemistrySplit = "random",
    features: Sequence[Features] = FEATURES,
    settings: ChemistrySettings | None = None,
    console: Console | None = None,
) -> RunResult:
    """Train GIM and all baselines on simulated effects of real compounds, and score unseen compounds.

    Parameters
    ----------
    seeds
        Seeds of the worlds, and of the choice of what is held out.
    split
        A fifth of the compounds is held out: at ``"random"``, or whole Bemis-Murcko scaffolds
        (``"scaffold"``), clusters of Tanimoto distance below 0.6 (``"similarity"``), or first annotated
        targets (``"target"``). With ``"interior_dose"`` and ``"top_dose"`` one dose of a fifth of the
        compounds, which are then known, so that their features are not asked.
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
        for fold, held_out in enumerate(_folds(world, adata, split)[: settings.n_folds]):
            run = _Fold(world, adata, held_out, split, settings, _print_to(console, seed, fold))
            for name in features:
                run.score_features(name)
            scores.append(pd.DataFrame(run.rows).assign(seed=seed, fold=fold))
            run_audits = pd.DataFrame(run.audits, columns=AUDIT_COLUMNS)
            audits.append(run_audits.assign(seed=seed, fold=fold))
    table = pd.concat(scores, ignore_index=True)[COLUMNS]
    audited = pd.concat(audits, ignore_index=True)[AUDIT_COLUMNS]
    return _result(table, audited, split, settings)


def _result(
    scores: pd.DataFrame, audits: pd.DataFrame, split: str, settings: ChemistrySettings
) -> RunResult:
    """Summarise scores for each kind of features; bars were set for the random split."""
    by_features = {str(name): rows for name, rows in scores.groupby("features", sort=False)}
    figures = pd.concat(
        [
            chemistry_figures(rows, split, name).assign(features=name)
            for name, rows in by_features.items()
        ],
        ignore_index=True,
    )
    figures = figures[["features", *figures.columns.drop("features")]]
    comparison = scores[scores["metric"].isin([R2, ENERGY])].pivot_table(
        index=["features", "predictor"], columns="metric", values="value", sort=False
    )
    claims = [_claim(split, name, comparison.loc[name], rows) for name, rows in by_features.items()]
    seeds = scores["seed"].unique().tolist()
    return RunResult(
        scores=scores,
        tables={"figures": figures, "comparison": comparison, "audits": audits},
        claims=claims,
        settings=settings,
        document={
            "benchmark": "chemistry",
            "scenario": split,
            "claims": claims,
            "settings": settings.describe(),
            "versions": {name: version(name) for name in PACKAGES},
            "figures": figures,
            "audits": audits,
            "scores": scores.assign(value=scores["value"].round(5)),
        },
        shown=[
            figures_table(f"World C, {split} split, seeds {seeds}", figures),
            _comparison_table(comparison),
            *claims,
            *audits["sentence"],
        ],
    )


def _comparison_table(comparison: pd.DataFrame) -> Table:
    title = "R² of the mean shift (1 perfect, 0 no effect) and energy distance (0 replicate, 1 no effect)"
    table = Table(title=title, title_justify="left")
    for column in ("features", "predictor", "R²", "energy distance"):
        table.add_column(column, justify="left" if column[0] in "fp" else "right")
    for (features, predictor), row in comparison.iterrows():
        table.add_row(features, predictor, f"{row[R2]:.3f}", f"{row[ENERGY]:.3f}")
    return table


class _Fold:
    """Scores of what one fold holds out."""

    def __init__(
        self,
        world: ChemistryWorld,
        adata: ad.AnnData,
        held_out: Split,
        split: str,
        settings: ChemistrySettings,
        progress: Callable[[str], None],
    ) -> None:
        self.world, self.settings, self.split, self.progress = world, settings, split, progress
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
        self._score_model(gim, features)
        if self.split not in DOSE_SPLITS:
            self._score_use_of_features(gim, screen, features)
        for predictor in self._baselines_and_ceilings():
            predictor.fit(screen)
            self._score(predictor, predictor.predict_shift(self.truth.conditions), features)
        self._add(GIM_NAME, features, {SECONDS: {"": self._seconds}})

    def _baselines_and_ceilings(self) -> list[Predictor]:
        replicate = ReplicateCeiling(self.world, n_measured=self.world.n_cells)
        if self.split in DOSE_SPLITS:
            return [*world_baselines(), replicate]
        oracles: list[Predictor] = [
            ClassOracle(self.world.first_target),
            StructureCeiling(self.world),
        ]
        return [*world_baselines(), *oracles, replicate]

    def _score(self, predictor: Predictor, shift: NDArray[np.float64], features: str) -> None:
        rows = score_predictions(predictor, shift, self.screen, self.truth)
        if not rows:
            return
        self._extend(features, rows)
        ratio = self._variance_ratio(shift)
        self._add(predictor.name, features, {VARIANCE_RATIO: {self.split: ratio}})
        r2, energy = (value_of(rows, metric, [self.split]) for metric in (R2, ENERGY))
        self.progress(f"{features}, {predictor.name}: R² {r2:.3f}, energy distance {energy:.3f}")

    def _score_model(self, gim: GIMPredictor, features: str) -> None:
        """Score a GIM with what only a GIM says: intervals, abstaining, and feature use."""
        shift, lower, upper = gim.predict_interval(self.truth.conditions, level=0.8)
        self._score(gim, shift, features)
        self._extend(features, score_uncertainty(gim, lower, upper, self.truth))
        everywhere = interval_coverage(lower, upper, self.truth.shift)
        use = gim.model.get_generator_report().feature_use
        by_metric = {COVERAGE_ALL: {self.split: everywhere}, FEATURE_USE: {self.split: use}}
        self._add(gim.name, features, by_metric)

    def _score_use_of_features(
        self, gim: GIMPredictor, screen: TrainingScreen, features: str
    ) -> None:
        """Score a GIM that learned from shuffled features, and audit both."""
        rng = np.random.default_rng([self.world.seed, 6])
        shuffled_screen = with_features(screen, ablate_all(screen.features, "shuffled", rng))
        shuffled = self.gim.with_features(shuffled_screen, SHUFFLED_NAME)
        self._score_model(shuffled, features)
        self._audit(gim, screen, features)
        self._audit(shuffled, shuffled_screen, features)

    def _audit(self, gim: GIMPredictor, screen: TrainingScreen, features: str) -> None:
        audit, effect = audit_at_top_dose(gim, screen, self.truth, seed=self.world.seed)
        self._add(gim.name, features, {EFFECT_OF_FEATURES: {self.split: effect}})
        self.audits.append(audit | {"features": features})
        self.progress(f"{features}, {audit['sentence']}")

    def _variance_ratio(self, shift: NDArray[np.float64]) -> float:
        """Variance between drugs at each dose, predicted over true, pooled."""
        dose = self.truth.conditions["dose"].to_numpy()

        def between(values: NDArray[np.float64]) -> float:
            return sum(values[dose == one].var(axis=0).sum() for one in np.unique(dose))

        return float(between(shift) / between(self.truth.shift))

    def _add(self, predictor: str, features: str, by_metric: dict[str, dict[str, float]]) -> None:
        self._extend(features, to_rows(predictor, by_metric))

    def _extend(self, features: str, rows: list[dict[str, object]]) -> None:
        self.rows += [row | {"features": features} for row in rows]


def _folds(world: ChemistryWorld, adata: ad.AnnData, split: ChemistrySplit) -> list[Split]:
    """Choose what each of the folds holds out; a dose is held out in one only."""
    if split == "interior_dose" or split == "top_dose":  # noqa: PLR1714 - narrows the type
        return [choose_split(adata, split, fraction=1 / N_FOLDS, seed=world.seed)]
    groups = _groups(world, split)
    return perturbation_folds(adata, n_folds=N_FOLDS, seed=world.seed, groups=groups)


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
    numbers = f"R² {own:.3f} of GIM, {other:.3f} of {best}, 0 of no effect"
    if split in DOSE_SPLITS:
        return f"Known drugs, {split.replace('_', ' ')} left out: {numbers}."
    ceiling = means.loc["feature ceiling", R2]
    numbers += f", {ceiling:.3f} with the true interventions of all training drugs"
    if split == "target":
        return (
            f"No claim for drugs of an unseen target, {features}: features do not reach a mechanism "
            f"that no training drug has ({numbers})."
        )
    return f"Unseen drugs, {split} split, {features}: {numbers}."


def _print_to(console: Console | None, seed: int, fold: int) -> Callable[[str], None]:
    if console is None:
        return lambda _: None
    return lambda text: console.print(f"seed {seed}, fold {fold}, {text}", highlight=False)
