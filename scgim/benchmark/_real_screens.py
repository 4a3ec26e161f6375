"""GIM on two real screens: unseen doses of a drug, and what knock-outs target."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import scvi
from matplotlib.figure import Figure
from rich.table import Table

from scgim import pl
from scgim._files import new_file
from scgim._messages import check_at_least, check_choice
from scgim.datasets import papalexi2021, sciplex2_a549
from scgim.evaluation import RunResult
from scgim.evaluation._ceilings import AUTOENCODER
from scgim.evaluation._evaluate import evaluate
from scgim.evaluation._expression_space import log_normalize
from scgim.evaluation._scoring import ENERGY, PEARSON, R2_CONTROL, WMSE, ScoringSettings
from scgim.evaluation._splits import Split
from scgim.evaluation._training_screen import ScreenKeys
from scgim.model import GIM

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import anndata as ad
    from numpy.typing import NDArray

RealScreen = Literal["sciplex2", "papalexi"]

PACKAGES = ("scgim", "scvi-tools", "torch", "scikit-learn", "numpy")
DRUG = "dexamethasone"
HELD_OUT_DOSES = (1.0, 10.0)
KNOWN_GENES = ("ANGPTL4", "PER1")
SCREENS = ("sciplex2", "papalexi")
SILENT = ("ATF2", "CAV1", "CD86", "ETV7", "IRF7", "MARCH8", "PDCD1LG2", "STAT5A")
N_MOVED_GENES = 5
N_GRID = 30
N_NODES = 16
FIGURE_INCHES = (4.7, 3.0)
SHOWN_METRICS = (R2_CONTROL, PEARSON, WMSE, ENERGY)
CURVES, MEANS = "predicted dose response", "observed means"
SILENT_TARGETS = "silent knock-outs with a confident target"
OTHER_TARGETS = "other knock-outs with a confident target"


def benchmark_real(
    screen: RealScreen, seeds: Iterable[int], *, max_epochs: int | None = None
) -> RunResult:
    """Train on a real screen, read through ``SCGIM_DATA``, and score what can be scored.

    ``"sciplex2"``: two interior doses of dexamethasone are held out and predicted beside all
    baselines of :func:`evaluate`, interpolation between the neighbouring doses among them; a model of
    all doses gives the curves of two known dexamethasone genes. ``"papalexi"``: what each knock-out
    targets and moves; eight knock-outs that do nothing visible must get no confident target.

    Parameters
    ----------
    screen
        Which screen.
    seeds
        Seeds of training and, for scores, of the division of the control cells.
    max_epochs
        Training epochs of GIM, ``None`` for its default.

    Returns
    -------
    The scores; in ``tables``, by title, what else is shown; and the figure of the fitted curves.
    """
    check_choice("screen", screen, SCREENS)
    seeds = list(seeds)
    check_at_least("number of seeds", len(seeds), 1)
    run = _sciplex2 if screen == "sciplex2" else _papalexi
    return run(seeds, max_epochs)


def _result(screen: RealScreen, scores: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> RunResult:
    """Put scores and tables together; there are curves to draw where there are doses."""
    shown = scores.pivot_table(
        index="predictor", columns="metric", values="value", aggfunc=_mean_and_sd, sort=False
    )
    seeds = scores["seed"].unique().tolist()
    printed = [
        _table(title, table.round(3))
        for title, table in tables.items()
        if title not in {CURVES, MEANS}
    ]
    return RunResult(
        scores=scores,
        tables=tables,
        document={
            "benchmark": "real",
            "screen": screen,
            "versions": {name: version(name) for name in PACKAGES},
            "scores": scores,
            "tables": tables,
        },
        shown=[_table(f"{screen}, seeds {seeds}", shown.reset_index()), *printed],
        draw=partial(_draw_curves, tables) if CURVES in tables else None,
    )


def _draw_curves(tables: dict[str, pd.DataFrame], path: Path) -> None:
    """Draw the fitted curves of known genes over the data."""
    figure = Figure(figsize=FIGURE_INCHES, layout="constrained")
    axes = figure.subplots()
    pl.dose_response(tables[CURVES], observed=tables[MEANS], dose_unit="µM", ax=axes)
    axes.set_ylabel("shift of mean log1p(CP10k)")
    with new_file(path) as written:
        figure.savefig(written, dpi=150)


def _sciplex2(seeds: list[int], max_epochs: int | None) -> RunResult:
    adata = sciplex2_a549()
    keys = ScreenKeys("perturbation", "control", "dose", features=None)
    held_out = pd.DataFrame({"perturbation": DRUG, "dose": HELD_OUT_DOSES})
    scores = []
    for seed in seeds:
        split = Split("interior_dose", seed, keys, None, held_out)
        settings = ScoringSettings(seed=seed)
        model = _train(split.training(adata), seed, max_epochs, dose_key="dose")
        table = evaluate(model, adata, split, settings=settings)
        is_shown = table["metric"].isin(SHOWN_METRICS) & table["value"].notna()
        mean = table[is_shown & (table["predictor"] != AUTOENCODER)]
        mean = mean.groupby(["predictor", "metric"], sort=False)["value"].mean().reset_index()
        scores.append(mean.assign(seed=seed, split="interior_dose"))
    tables = _dose_curves(_train(adata, seeds[0], max_epochs, dose_key="dose"), adata)
    columns = ["seed", "predictor", "split", "metric", "value"]
    return _result("sciplex2", pd.concat(scores, ignore_index=True)[columns], tables)


def _dose_curves(model: GIM, adata: ad.AnnData) -> dict[str, pd.DataFrame]:
    """Predicted and observed shift of known genes at each dose, tidy."""
    genes = [gene for gene in KNOWN_GENES if gene in adata.var_names]
    place = adata.var_names.get_indexer(genes)
    doses = np.unique(adata.obs["dose"].to_numpy(dtype=float))
    grid = np.geomspace(doses[doses > 0].min(), doses.max(), N_GRID)
    predicted = model.predict_shift([(DRUG, dose) for dose in grid])
    curves = {
        name: np.asarray(values)[:, place].ravel()
        for name, values in {"effect": predicted.X, **predicted.layers}.items()
    }
    expression = np.asarray(log_normalize(adata.X))[:, place]
    dose = adata.obs["dose"].to_numpy(dtype=float)
    means = np.stack([expression[dose == level].mean(0) for level in doses])
    shown = doses > 0
    curve = _by_gene(grid, genes).assign(**curves)
    observed = _by_gene(doses[shown], genes)
    observed["effect"] = (means[shown] - means[~shown]).ravel()
    return {CURVES: curve, MEANS: observed}


def _by_gene(doses: NDArray[np.float64], genes: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "perturbation": DRUG,
            "node": np.tile(genes, len(doses)),
            "dose": np.repeat(doses, len(genes)),
        }
    )


def _papalexi(seeds: list[int], max_epochs: int | None) -> RunResult:
    adata = papalexi2021()
    found, shifts = [], []
    for seed in seeds:
        model = _train(adata, seed, max_epochs, batch_key="bio_rep")
        targets = model.get_intervention_targets()
        is_called = targets["is_target"] & ~targets["ambiguous"]
        summary = targets.assign(is_called=is_called).groupby("perturbation")
        found.append(summary.agg(targets=("is_called", "sum"), evidence=("evidence", "max")))
        knock_outs = list(model.screen.table.perturbations)
        moved = model.predict_shift(knock_outs)
        shifts.append(pd.DataFrame(moved.X, index=knock_outs, columns=moved.var_names))
    scores = pd.DataFrame(
        [
            row
            for seed, table in zip(seeds, found, strict=True)
            for row in _count_called(seed, table)
        ]
    )
    knock_outs_table = _describe_knock_outs(found, shifts)
    return _result("papalexi", scores, {"knock-outs": knock_outs_table})


def _count_called(seed: int, found: pd.DataFrame) -> list[dict[str, object]]:
    is_silent = found.index.isin(SILENT)
    has_target = (found["targets"] > 0).to_numpy()
    counts = {
        SILENT_TARGETS: has_target[is_silent].sum(),
        OTHER_TARGETS: has_target[~is_silent].sum(),
    }
    return [
        {"seed": seed, "predictor": "GIM", "split": "", "metric": metric, "value": float(count)}
        for metric, count in counts.items()
    ]


def _describe_knock_outs(found: list[pd.DataFrame], shifts: list[pd.DataFrame]) -> pd.DataFrame:
    """One row per knock-out, averaged over seeds, the strongest evidence first."""
    mean = pd.concat(found).groupby(level=0).mean()
    mean.insert(0, "silent", np.where(mean.index.isin(SILENT), "yes", "no"))
    shift = pd.concat(shifts).groupby(level=0).mean().loc[mean.index]
    order = np.argsort(-shift.abs().to_numpy(), axis=1)[:, :N_MOVED_GENES]
    mean["moves most"] = [
        ", ".join(f"{shift.columns[gene]} {shift.iloc[row, gene]:+.2f}" for gene in genes)
        for row, genes in enumerate(order)
    ]
    return mean.sort_values("evidence", ascending=False).reset_index(names="knock-out")


def _train(
    adata: ad.AnnData,
    seed: int,
    max_epochs: int | None,
    *,
    dose_key: str | None = None,
    batch_key: str | None = None,
) -> GIM:
    adata = adata.copy()
    GIM.setup_anndata(adata, "perturbation", "control", dose_key=dose_key, batch_key=batch_key)
    scvi.settings.seed = seed
    model = GIM(adata, n_nodes=N_NODES)
    model.train(max_epochs, enable_progress_bar=False, logger=False)
    return model


def _mean_and_sd(values: pd.Series) -> str:
    spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def _table(title: str, frame: pd.DataFrame) -> Table:
    table = Table(title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(str(column))
    for row in frame.itertuples(index=False):
        table.add_row(*["" if pd.isna(value) else str(value) for value in row])
    return table
