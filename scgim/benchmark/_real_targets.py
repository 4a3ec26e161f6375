"""The benchmark of targets on real screens: which gene was knocked out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
from rich.table import Table

from scgim._messages import check_choice, warn
from scgim.benchmark._left_out_effects import score_left_out_effects
from scgim.benchmark._named_genes import to_array, train_named_genes
from scgim.benchmark._real_graphs import GraphScores, score_dream4, score_sachs
from scgim.benchmark._target_rankings import (
    CONTROL,
    N_RESAMPLES,
    baseline_rankings,
    known_targets,
    model_rankings,
    prepare_screen,
    score_rankings,
    select_panel,
    to_count_screen,
)
from scgim.datasets import hill2018, papalexi2021
from scgim.evaluation._result_file import to_records, write_document
from scgim.model import GraphSearch
from scgim.spaces import NamedNodesFit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray
    from rich.console import Console

    from scgim.data._perturbation_direction import Direction
    from scgim.model import GIM
    from scgim.scm import CountScreen

SCREENS: dict[str, Callable[[], ad.AnnData]] = {"papalexi": papalexi2021, "hill": hill2018}
GRAPHS: dict[str, Callable[[], GraphScores]] = {"dream4": score_dream4, "sachs": score_sachs}
PANELS: dict[str, tuple[int | None, ...]] = {"papalexi": (60, 120, None), "hill": (None,)}
LEFT_OUT_PANEL = {"papalexi": 60}
# What two models are told of the knock-outs.
DIRECTIONS: tuple[Direction, Direction] = ("lowers", "unknown")
# On counts the search has no say in ``evidence``, only in ``probability``.
SEARCH = GraphSearch(n_restarts=4)


@dataclass(frozen=True)
class TargetsBenchmark:
    """Scores of target rankings on a real screen.

    Attributes
    ----------
    scores
        One row per panel and method: ``panel``, ``n_genes``, ``method``, ``average_precision``,
        ``lower``, ``upper`` (90 % bootstrap over perturbations), ``mrr``, ``recall_at_1``, ``gain``
        over the best baseline and its ``gain_lower`` and ``gain_upper``.
    explained
        Per panel, the share of the other genes' shift that the residual takes away; the residual
        counts in the combined score only where that is more than half.
    screen
        Name of the screen.
    edges
        Where a graph is known or agreed on: ``graph``, ``method``, ``average_precision``, ``edge_f1``,
        ``shd``, ``chance``.
    left_out_effects
        Where it was asked for: ``method``, ``r2``, ``n_edges``, see
        :func:`~scgim.benchmark.benchmark_targets`.
    """

    scores: pd.DataFrame
    explained: dict[str, float]
    screen: str
    edges: pd.DataFrame = field(default_factory=pd.DataFrame)
    left_out_effects: pd.DataFrame = field(default_factory=pd.DataFrame)

    def write_json(self, path: Path) -> None:
        """Write the scores.

        Parameters
        ----------
        path
            File to write.
        """
        document = {
            "benchmark": "targets",
            "screen": self.screen,
            "explained": {
                panel: share if np.isfinite(share) else None
                for panel, share in self.explained.items()
            },
            "rankings": to_records(self.scores),
            "edges": to_records(self.edges),
            "left_out_effects": to_records(self.left_out_effects),
        }
        write_document(document, path)

    def print(self, console: Console) -> None:
        """Print the scores, best first within each panel.

        Parameters
        ----------
        console
            Where to print.
        """
        for panel, group in self.scores.groupby("panel", sort=False):
            console.print(self._ranking_table(str(panel), group))
        if len(self.edges):
            console.print(self._edge_table())
        if len(self.left_out_effects):
            title = "Shift of the other genes, from that of the target alone"
            table = Table("method", "R²", title=title, title_justify="left")
            for row in self.left_out_effects.sort_values("r2", ascending=False).itertuples():
                table.add_row(str(row.method), f"{row.r2:.3f}")
            console.print(table)

    def _ranking_table(self, panel: str, group: pd.DataFrame) -> Table:
        title = f"{self.screen}, {panel}"
        share = self.explained.get(panel, np.nan)
        if np.isfinite(share):
            title += f"; share of the other genes' shift explained {share:.2f}"
        table = Table(title=title, title_justify="left")
        for column in ("method", "average precision", "MRR", "recall@1", "gain"):
            table.add_column(column, justify="left" if column == "method" else "right")
        for row in group.sort_values("average_precision", ascending=False).to_dict("records"):
            table.add_row(
                str(row["method"]),
                f"{row['average_precision']:.3f} [{row['lower']:.2f}, {row['upper']:.2f}]",
                f"{row['mrr']:.2f}",
                f"{row['recall_at_1']:.2f}",
                f"{row['gain']:+.3f} [{row['gain_lower']:+.2f}, {row['gain_upper']:+.2f}]",
            )
        return table

    def _edge_table(self) -> Table:
        table = Table(title=f"{self.screen}: edges", title_justify="left")
        for column in ("graph", "method", "average precision", "chance", "F1", "SHD"):
            table.add_column(column, justify="left" if column in {"graph", "method"} else "right")
        for row in self.edges.to_dict("records"):
            called = [
                "" if np.isnan(row[name]) else f"{row[name]:.3g}" for name in ("edge_f1", "shd")
            ]
            numbers = [f"{row[name]:.3f}" for name in ("average_precision", "chance")]
            table.add_row(str(row["graph"]), str(row["method"]), *numbers, *called)
        return table


def benchmark_targets(
    screen: str,
    *,
    seed: int = 0,
    n_splits: int | None = None,
    n_resamples: int = N_RESAMPLES,
) -> TargetsBenchmark:
    """Rank all genes as the target of each perturbation, beside baselines.

    The rankings are columns of :meth:`GIM.get_intervention_targets` of a model that is trained on the
    screen: ``evidence`` with and without ``perturbation_direction="lowers"``, ``residual`` and
    ``probability``.

    On counts (``"papalexi"``, ``"hill"``, or your own screen) ten measures of differential expression
    are the baselines. ``"dream4"`` and ``"sachs"`` also have graphs, beside which correlation and the
    z-score of perturbations are set. On ``"papalexi"`` every knock-out is also left out in turn, and
    the shift of all other genes predicted from that of its target.

    Parameters
    ----------
    screen
        ``"papalexi"``, ``"hill"``, ``"dream4"`` or ``"sachs"``, read through ``SCGIM_DATA``; or an
        h5ad file of knock-outs with counts in ``X``, ``obs["perturbation"]``, ``obs["is_control"]``
        and ``uns["known_targets"]`` (columns ``perturbation`` and ``target``).
    seed
        Seed of the training and of the bootstrap.
    n_splits
        Not used any more: all ways of splitting counts are averaged.
    n_resamples
        Resamples of the perturbations for the intervals.

    Returns
    -------
    Average precision pooled over the perturbations with a measured target, mean reciprocal rank and
    recall at rank 1, with bootstrap intervals. The best baseline is picked afterwards, in its favour.
    """
    if n_splits is not None:
        warn(
            "`n_splits` is not used any more: all ways of splitting counts are averaged. Leave it out; "
            "scgim 0.3 takes it away.",
            FutureWarning,
        )
    if screen in GRAPHS:
        return _score_graphs(screen, seed, n_resamples)
    if not Path(screen).is_file():
        check_choice("screen", screen, [*SCREENS, *GRAPHS])
    adata = SCREENS[screen]() if screen in SCREENS else ad.read_h5ad(screen)
    check_target_screen(screen, adata.obs.columns, adata.uns)
    tables, explained = [], {}
    effects = pd.DataFrame()
    for n_genes in PANELS.get(screen, (None,)):
        rng = np.random.default_rng(seed)
        panel = _Panel.of(adata, select_panel(adata, n_genes), seed)
        table = score_rankings(panel.rankings, panel.is_target, rng, n_resamples=n_resamples)
        label = f"{len(panel.genes)} genes"
        tables.append(table.assign(panel=label, n_genes=len(panel.genes)))
        explained[label] = panel.explained
        if LEFT_OUT_PANEL.get(screen, 0) == n_genes:
            effects = score_left_out_effects(panel.counts, panel.is_target, rng)
    scores = pd.concat(tables, ignore_index=True)
    name = Path(screen).stem if screen not in SCREENS else screen
    return TargetsBenchmark(scores, explained, name, left_out_effects=effects)


class _Panel(NamedTuple):
    """One panel of genes: what is known, and all rankings of targets."""

    genes: list[str]
    counts: CountScreen
    is_target: NDArray[np.bool_]
    rankings: dict[str, NDArray[np.float64]]
    explained: float

    @classmethod
    def of(cls, adata: ad.AnnData, chosen: NDArray[np.int64], seed: int) -> _Panel:
        """Train on the panel with and without direction, and rank by models and baselines."""
        screen = prepare_screen(adata, chosen)
        oriented, unknown = (train_on_panel(screen, word, seed) for word in DIRECTIONS)
        names, genes = list(oriented.screen.table.perturbations), list(screen.var_names)
        counts = to_count_screen(screen, names)
        targets = oriented.get_intervention_targets()
        rankings = baseline_rankings(counts, to_array(targets, "marginal", names, genes))
        rankings |= model_rankings(targets, unknown.get_intervention_targets(), names, genes)
        assert isinstance(oriented.fitted, NamedNodesFit)
        share = float(oriented.fitted.named_nodes["explained"])
        return cls(genes, counts, known_targets(adata, names, genes), rankings, share)


def train_on_panel(screen: ad.AnnData, direction: Direction, seed: int) -> GIM:
    """Train named genes on counts of knock-outs.

    Parameters
    ----------
    screen
        As :func:`~scgim.benchmark._target_rankings.prepare_screen` gives it.
    direction
        What the model is told of all perturbations.
    seed
        Seed of the training.

    Returns
    -------
    The trained model.
    """
    setup = {
        "perturbation_key": "perturbation",
        "control": CONTROL,
        "batch_key": "bio_rep" if "bio_rep" in screen.obs else None,
        "size_factor_key": "depth",
        "perturbation_direction": direction,
    }
    return train_named_genes(screen, setup, {"gene_likelihood": "nb"}, search=SEARCH, seed=seed)


def _score_graphs(screen: str, seed: int, n_resamples: int) -> TargetsBenchmark:
    found = GRAPHS[screen]()
    rng = np.random.default_rng(seed)
    tables = [
        score_rankings(rankings, truth, rng, n_resamples=n_resamples).assign(
            panel=panel, n_genes=truth.shape[1]
        )
        for panel, (rankings, truth) in found.rankings.items()
    ]
    return TargetsBenchmark(pd.concat(tables, ignore_index=True), {}, screen, edges=found.edges)


def check_target_screen(name: str, columns: Collection[str], entries: Collection[str]) -> None:
    """Raise if a screen lacks what a benchmark of targets reads.

    Parameters
    ----------
    name
        Screen as the user typed it.
    columns
        Columns of ``obs``.
    entries
        Entries of ``uns``.
    """
    missing = [f"obs[{key!r}]" for key in ("perturbation", "is_control") if key not in columns]
    missing += [] if "known_targets" in entries else ["uns['known_targets']"]
    if missing:
        msg = (
            f"The screen {name!r} has no {', '.join(missing)}, but a benchmark of targets reads the "
            "perturbation of each cell, which cells are control, and the known targets (columns "
            "`perturbation` and `target`). Add them."
        )
        raise ValueError(msg)
