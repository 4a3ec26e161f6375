"""The benchmark of World G: the causal model of named genes beside oracle and baselines."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from rich.table import Table

from scgim._messages import check_at_least
from scgim.benchmark._figures import Figure, figures_table, summarize
from scgim.benchmark._genes_baselines import ControlMean, NearestCondition, Network, RidgeWithDose
from scgim.benchmark._genes_figures import (
    EDGE_AP,
    EDGE_F1,
    KIND_RIGHT,
    MEAN_ERROR,
    NLL,
    SEARCH,
    SECONDS,
    SHD,
    SID,
    SLICED_WASSERSTEIN,
    SPLITS,
    TARGET_AP,
    TARGET_PRECISION,
    genes_figures,
)
from scgim.benchmark._genes_predictors import (
    GenesPredictor,
    GenesScreen,
    GradientGraph,
    true_edges,
    true_targets,
)
from scgim.benchmark._named_genes import to_array
from scgim.benchmark._trained_genes import TrainedGenes
from scgim.datasets import GenesWorld
from scgim.evaluation._reliability import compute_reliability
from scgim.evaluation._result_file import to_records, write_document
from scgim.metrics import (
    edge_f1,
    graph_average_precision,
    interventional_nll,
    mean_error,
    sliced_wasserstein,
    structural_hamming_distance,
    structural_intervention_distance,
    target_average_precision,
)
from scgim.scm import (
    GradientSettings,
    SearchSettings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from rich.console import Console

    from scgim.model import GIM

    _Called = tuple[NDArray[np.float64], NDArray[np.bool_]]

StructureName = Literal["search", "gradient"]

EVERY, N_CELLS = 4, 200
MAX_NODES_FOR_SID = 50
PACKAGES = ("scgim", "torch", "scikit-learn", "numpy", "scipy")


@dataclass(frozen=True)
class GenesSettings:
    """What the benchmark of World G runs on; the defaults are those of the world.

    Attributes
    ----------
    world
        A world with the variant and sizes of all; its seed is replaced.
    structures
        Ways to find the graph; the published optimiser knows linear mechanisms and shifts only.
    search
        How to search; interventions are called hard or shift by evidence in worlds that have both.
    gradient
        How the published optimiser runs.
    has_baselines
        Whether oracle and baselines run too.
    """

    world: GenesWorld = field(default_factory=GenesWorld)
    structures: tuple[StructureName, ...] = ("search",)
    search: SearchSettings | None = None
    gradient: GradientSettings = field(default_factory=GradientSettings)
    has_baselines: bool = True

    @property
    def search_settings(self) -> SearchSettings:
        """How to search in this world."""
        if self.search is not None:
            return self.search
        if self.world.intervention == "shift":
            return SearchSettings(kind="shift")
        return SearchSettings(kind="any" if self.world.intervention == "scale" else "auto")

    def figures(self) -> tuple[Figure, ...]:
        """List what is measured, with the bars of this variant of the world.

        Returns
        -------
        The figures.
        """
        return genes_figures(self.world)


@dataclass(frozen=True)
class GenesBenchmark:
    """Scores of the benchmark of World G.

    Attributes
    ----------
    scores
        Tidy table: ``seed``, ``predictor``, ``split``, ``metric``, ``value``.
    reliability
        Called probability and observed share of edges and of targets of training drugs, per bin:
        ``what``, ``probability``, ``share``, ``n``.
    settings
        What it ran on.
    """

    scores: pd.DataFrame
    reliability: pd.DataFrame
    settings: GenesSettings

    def figures(self) -> pd.DataFrame:
        """Average the figures over seeds, with the bars beside them.

        Returns
        -------
        One row per figure: ``figure``, ``mean``, ``sd``, ``worst``, ``n_seeds``, ``bar``,
        ``moonshot`` and ``reached``.
        """
        return summarize(self.scores, self.settings.figures(), with_bars=True)

    def comparison(self) -> pd.DataFrame:
        """Average every metric of every predictor over seeds.

        Returns
        -------
        Rows: predictors. Columns: metric and split.
        """
        return self.scores.pivot_table(
            index="predictor", columns=["metric", "split"], values="value", sort=False
        )

    def write_json(self, path: Path) -> None:
        """Write scores, figures, settings and versions.

        Parameters
        ----------
        path
            File to write.
        """
        document = {
            "benchmark": "genes",
            "settings": asdict(self.settings),
            "versions": {name: version(name) for name in PACKAGES},
            "figures": to_records(self.figures()),
            "reliability": to_records(self.reliability),
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
        for table in self._comparison_tables():
            console.print(table)
        if len(self.reliability):
            console.print(self._reliability_table())

    def _figures_table(self) -> Table:
        world = self.settings.world
        seeds = self.scores["seed"].unique().tolist()
        variant = f"{world.graph}, {world.mechanism}, {world.intervention}, {world.n_nodes} nodes"
        variant += f", {world.features} features, sign per {world.sign}"
        title = f"World G: {variant}; seeds {seeds}"
        return figures_table(title, self.figures())

    def _comparison_tables(self) -> Iterator[Table]:
        """One table per metric of conditions, and one for the graph."""
        comparison = self.comparison()
        metrics = comparison.columns.get_level_values("metric").unique()
        of_graph = [metric for metric in metrics if (metric, "") in comparison.columns]
        for metric in metrics:
            if metric not in of_graph:
                splits = comparison[metric].rename(columns=SPLITS)
                yield _numbers_table(metric, splits.dropna(how="all"))
        rows = comparison.xs("", axis=1, level="split")[of_graph].T
        yield _numbers_table("graph and time", rows.loc[:, rows.notna().sum() > 1])

    def _reliability_table(self) -> Table:
        table = Table(title="Reliability: called probability and true share", title_justify="left")
        for column in ("", "probability", "true share", "n"):
            table.add_column(column, justify="right")
        for row in self.reliability.itertuples():
            table.add_row(row.what, f"{row.probability:.3f}", f"{row.share:.3f}", str(row.n))
        return table


def benchmark_genes(
    seeds: Iterable[int],
    *,
    settings: GenesSettings | None = None,
    console: Console | None = None,
) -> GenesBenchmark:
    """Fit the causal model of named genes, its oracle and baselines to worlds with known truth.

    Parameters
    ----------
    seeds
        Seeds of the worlds.
    settings
        Variant and sizes of the world, and what to compare.
    console
        Where to say how far it is, ``None`` for silence.

    Returns
    -------
    Scores of all predictors, seeds, splits and metrics.

    See Also
    --------
    benchmark_programs : The same for gene programs.
    """
    seeds = list(seeds)
    check_at_least("number of seeds", len(seeds), 1)
    settings = settings or GenesSettings()
    if "gradient" in settings.structures:
        check_gradient_world(settings.world.mechanism, settings.world.intervention)
    tables = []
    called: dict[str, list[_Called]] = {"edges": [], "targets": []}
    for seed in seeds:
        world = replace(settings.world, seed=seed)
        screen = GenesScreen.from_anndata(world.screen())
        truth = _HeldOut.of(world)
        for predictor in _predictors(world, settings):
            rows = _score(predictor, screen, world, truth)
            tables.append(pd.DataFrame(rows).assign(seed=seed, predictor=predictor.name))
            _say(console, seed, predictor.name, rows)
            if predictor.name == SEARCH:
                assert isinstance(predictor, TrainedGenes)
                called["edges"].append(_called_edges(predictor.model, world))
                called["targets"].append(_called_targets(predictor.model, world, screen.drugs))
    scores = pd.concat(tables, ignore_index=True)
    scores = scores[["seed", "predictor", "split", "metric", "value"]]
    curves = [compute_reliability(pairs).assign(what=what) for what, pairs in called.items()]
    reliability = pd.concat(curves, ignore_index=True)[["what", "probability", "share", "n"]]
    return GenesBenchmark(scores, reliability, settings)


def _numbers_table(title: str, numbers: pd.DataFrame) -> Table:
    table = Table(title=f"{title}, mean over seeds", title_justify="left")
    table.add_column("")
    for column in numbers.columns:
        table.add_column(str(column), justify="right")
    for name, row in numbers.iterrows():
        table.add_row(str(name), *("" if np.isnan(value) else f"{value:.3g}" for value in row))
    return table


@dataclass(frozen=True)
class _HeldOut:
    """Conditions of each split with their true means and targets."""

    conditions: dict[str, pd.DataFrame]
    means: dict[str, NDArray[np.float64]]
    cells: dict[str, NDArray[np.float64]]  # of every few conditions

    @classmethod
    def of(cls, world: GenesWorld) -> _HeldOut:
        held_out = world.held_out
        conditions = {"training": world.training_conditions} | {
            split: held_out[held_out["split"] == split][["drug", "dose"]]
            for split in ("new_dose", "unseen_drug")
        }
        conditions = {split: table for split, table in conditions.items() if len(table)}
        means = {split: world.expected_mean(table) for split, table in conditions.items()}
        cells = {
            split: np.asarray(
                world.sample(table.iloc[::EVERY], N_CELLS, seed=0).X, dtype=float
            ).reshape(-1, N_CELLS, world.n_nodes)
            for split, table in conditions.items()
        }
        return cls(conditions, means, cells)


def _predictors(world: GenesWorld, settings: GenesSettings) -> list[GenesPredictor]:
    predictors: list[GenesPredictor] = []
    if "search" in settings.structures:
        predictors.append(TrainedGenes(world, settings.search_settings))
    if "gradient" in settings.structures:
        predictors.append(GradientGraph(settings.gradient))
    if not settings.has_baselines:
        return predictors
    oracle = TrainedGenes(world, settings.search_settings, is_oracle=True)
    return [*predictors, oracle, ControlMean(), NearestCondition(), RidgeWithDose(), Network()]


def _score(
    predictor: GenesPredictor, screen: GenesScreen, world: GenesWorld, truth: _HeldOut
) -> list[dict[str, object]]:
    start = time.process_time()
    predictor.fit(screen)
    rows: list[dict[str, object]] = [
        {"split": "", "metric": SECONDS, "value": time.process_time() - start}
    ]
    for split, conditions in truth.conditions.items():
        error = mean_error(predictor.predict_mean(conditions), truth.means[split])
        rows.append({"split": split, "metric": MEAN_ERROR, "value": error})
        rows += [row | {"split": split} for row in _distribution_rows(predictor, truth, split)]
        called = predictor.predict_targets(conditions)
        if called is None:
            continue
        targets = true_targets(world, conditions["drug"])
        precision = target_average_precision(called, targets)
        rows.append({"split": split, "metric": TARGET_AP, "value": precision})
    return rows + _structure_rows(predictor, world, screen)


def _distribution_rows(
    predictor: GenesPredictor, truth: _HeldOut, split: str
) -> list[dict[str, object]]:
    """Score cells of every few conditions, of predictors that have a causal model."""
    cells, conditions = truth.cells[split], truth.conditions[split].iloc[::EVERY]
    sampled = predictor.sample(conditions, N_CELLS)
    densities = predictor.log_densities(conditions, cells)
    if sampled is None or densities is None:
        return []
    distance = [sliced_wasserstein(one, other) for one, other in zip(sampled, cells, strict=True)]
    return [
        {"metric": SLICED_WASSERSTEIN, "value": float(np.mean(distance))},
        {"metric": NLL, "value": interventional_nll(*densities)},
    ]


def _structure_rows(
    predictor: GenesPredictor, world: GenesWorld, screen: GenesScreen
) -> list[dict[str, object]]:
    """Score the graph, and the kind of interventions, of predictors that have one."""
    edges = true_edges(world)
    if isinstance(predictor, GradientGraph):
        values = _graph_scores(predictor.model.adjacency, predictor.model.edge_probability, edges)
    elif isinstance(predictor, TrainedGenes) and predictor.name == SEARCH:
        graph = predictor.model.get_causal_graph().to_numpy()
        probability = predictor.model.get_causal_graph("probability").to_numpy()
        values = _graph_scores(graph != 0, probability, edges)
        called = predictor.model.get_intervention_targets()
        is_target = to_array(called, "is_target", screen.drugs, world.gene_names).astype(bool)
        right = (is_target & true_targets(world, screen.drugs)).sum()
        values[TARGET_PRECISION] = float(right / max(int(is_target.sum()), 1))
        if world.intervention != "shift":
            values[KIND_RIGHT] = _share_of_right_kind(called, world, screen.drugs)
    else:
        return []
    return [{"split": "", "metric": metric, "value": value} for metric, value in values.items()]


def _share_of_right_kind(called: pd.DataFrame, world: GenesWorld, drugs: list[str]) -> float:
    """Share of the true targets that were found whose kind of intervention is right, too."""
    is_hard = pd.DataFrame(world.truth["is_hard"]).loc[drugs].to_numpy()
    other = "scale" if world.intervention == "scale" else "shift"
    kind = to_array(called, "kind", drugs, world.gene_names)
    is_target = to_array(called, "is_target", drugs, world.gene_names).astype(bool)
    both = is_target & true_targets(world, drugs)
    return (
        float((kind == np.where(is_hard, "hard", other))[both].mean()) if both.any() else math.nan
    )


def _graph_scores(
    adjacency: NDArray[np.bool_], evidence: NDArray[np.float64], edges: NDArray[np.bool_]
) -> dict[str, float]:
    sid: dict[str, float] = {}
    if len(edges) <= MAX_NODES_FOR_SID:
        sid = {SID: float(structural_intervention_distance(adjacency, edges))}
    rank = np.argsort(np.argsort(evidence, axis=None, kind="stable")).reshape(evidence.shape)
    return {
        EDGE_F1: edge_f1(adjacency, edges),
        SHD: float(structural_hamming_distance(adjacency, edges)),
        EDGE_AP: graph_average_precision(rank, edges),
    } | sid


def _called_edges(model: GIM, world: GenesWorld) -> _Called:
    off_diagonal = ~np.eye(world.n_nodes, dtype=bool)
    probability = model.get_causal_graph("probability").to_numpy()
    return probability[off_diagonal], true_edges(world)[off_diagonal]


def _called_targets(model: GIM, world: GenesWorld, drugs: list[str]) -> _Called:
    table = model.get_intervention_targets()
    probability = to_array(table, "probability", drugs, world.gene_names)
    return probability, true_targets(world, drugs)


def _say(console: Console | None, seed: int, name: str, rows: list[dict[str, object]]) -> None:
    if console is None:
        return
    errors = [
        f"{SPLITS[str(row['split'])]} {row['value']:.2f}"
        for row in rows
        if row["metric"] == MEAN_ERROR
    ]
    console.print(f"seed {seed}, {name}: mean error {', '.join(errors)}", highlight=False)


def check_gradient_world(mechanism: str, intervention: str) -> None:
    """Raise if the published optimiser is asked for mechanisms that it was not written for here.

    Parameters
    ----------
    mechanism
        Kind of mechanisms of the world.
    intervention
        Kind of interventions of the world.
    """
    if mechanism == "linear" and intervention == "shift":
        return
    msg = (
        f"`structures` names 'gradient', but the world has `mechanism={mechanism!r}` and "
        f"`intervention={intervention!r}`. The gradient fit knows linear mechanisms and shifts "
        "only. Leave 'gradient' out, or choose `mechanism='linear'` and `intervention='shift'`."
    )
    raise ValueError(msg)
