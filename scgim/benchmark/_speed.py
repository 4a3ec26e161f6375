"""Cells per second of training and prediction, beside scVI in one interleaved run."""

from __future__ import annotations

import platform
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Callback
from rich.table import Table
from scvi.model import SCVI

from scgim._messages import check_at_least
from scgim.benchmark._result_file import write_document
from scgim.datasets import ProgramsWorld
from scgim.model import GIM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from lightning.pytorch import LightningModule, Trainer
    from rich.console import Console

N_SIMULATED = 8_000
DEFAULT_SIZES = {"cpu": (8_000,), "cuda": (8_000, 100_000, 1_000_000)}
N_CONDITIONS = 116  # treated conditions of World P
RESIDENT_MEMORY = Path("/proc/self/statm")
PAGE_BYTES = 4096
PACKAGES = ("scgim", "scvi-tools", "torch", "lightning")
NO_GPU = "No CUDA device was found, so the GPU part was left out."


@dataclass(frozen=True)
class SpeedSettings:
    """What both models are given.

    Attributes
    ----------
    n_genes
        Genes.
    n_latent
        Nodes of GIM and latent dimensions of scVI.
    n_hidden
        Width of the encoders.
    n_layers
        Hidden layers of the encoders.
    batch_size
        Cells per minibatch.
    n_epochs
        Epochs per training run; the fastest one counts.
    n_repeats
        Interleaved runs; the fastest one counts.
    """

    n_genes: int = 1000
    n_latent: int = 10
    n_hidden: int = 128
    n_layers: int = 1
    batch_size: int = 128
    n_epochs: int = 2
    n_repeats: int = 3


@dataclass(frozen=True)
class SpeedBenchmark:
    """Speed of GIM beside scVI.

    Attributes
    ----------
    table
        One row per device, number of cells, task and model: ``device``, ``n_cells``, ``task``,
        ``model``, ``seconds``, ``cells_per_second``, ``peak_memory_mb`` and ``time_over_scvi``.
    settings
        What both models were given.
    notes
        What was left out, in words.
    """

    table: pd.DataFrame
    settings: SpeedSettings
    notes: tuple[str, ...]

    def write_json(self, path: Path) -> None:
        """Write the table, the settings and versions.

        Parameters
        ----------
        path
            File to write.
        """
        table = self.table.astype(object).where(self.table.notna(), None)
        document = {
            "benchmark": "speed",
            "settings": asdict(self.settings),
            "versions": {name: version(name) for name in PACKAGES}
            | {"python": platform.python_version()},
            "n_threads": torch.get_num_threads(),
            "notes": list(self.notes),
            "table": table.to_dict("records"),
        }
        write_document(document, path)

    def print(self, console: Console) -> None:
        """Print the table and what was left out.

        Parameters
        ----------
        console
            Where to print.
        """
        title = (
            f"Cells per second, {self.settings.n_genes} genes, minibatches of "
            f"{self.settings.batch_size}, best of {self.settings.n_repeats} interleaved runs"
        )
        table = Table(title=title, title_justify="left")
        for column in ("device", "cells", "task", "model", "cells/s", "time / scVI", "peak MB"):
            is_text = column in ("device", "task", "model")
            table.add_column(column, justify="left" if is_text else "right")
        for row in self.table.to_dict("records"):
            table.add_row(
                row["device"],
                f"{row['n_cells']:,}",
                row["task"],
                row["model"],
                f"{row['cells_per_second']:,.0f}",
                f"{row['time_over_scvi']:.2f}",
                "" if np.isnan(row["peak_memory_mb"]) else f"{row['peak_memory_mb']:,.0f}",
            )
        console.print(table)
        for note in self.notes:
            console.print(note)


def benchmark_speed(
    n_cells: Iterable[int] | None = None,
    *,
    devices: Iterable[str] | None = None,
    settings: SpeedSettings | None = None,
    console: Console | None = None,
) -> SpeedBenchmark:
    """Time training epochs and prediction of GIM and scVI on simulated screens.

    Training is the time of one epoch, measured inside the trainer. Prediction samples as many counts
    as there are cells: ``GIM.predict`` for the conditions of the screen, and
    ``SCVI.posterior_predictive_sample`` for its cells.

    Parameters
    ----------
    n_cells
        Numbers of cells. By default 8,000, and on a GPU also 100,000 and 1,000,000. More than 8,000
        repeat the same simulated cells.
    devices
        ``"cpu"``, ``"cuda"``, or both. By default the CPU, and the GPU where there is one.
    settings
        What both models are given.
    console
        Where to say how far it is, ``None`` for silence.

    Returns
    -------
    The timings, and a note in words where no GPU was present.

    See Also
    --------
    benchmark_programs : Accuracy beside baselines.
    """
    settings = settings or SpeedSettings()
    sizes = None if n_cells is None else list(n_cells)
    for size in sizes or []:
        check_at_least("n_cells", size, 1_000)
    chosen, notes = _choose_devices(devices)
    timings = []
    for device in chosen:
        for size in sizes or DEFAULT_SIZES[device]:
            adata = _screen_of(size, settings.n_genes)
            timings.append(_time_pair(adata, device, settings))
            _say(console, timings[-1])
    return SpeedBenchmark(_compare(pd.concat(timings, ignore_index=True)), settings, notes)


class _EpochTimer(Callback):
    """Wall-clock seconds of each training epoch."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds: list[float] = []
        self._start = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        del trainer, pl_module
        _wait_for(self.device)
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock once the device has finished."""
        del trainer, pl_module
        _wait_for(self.device)
        self.seconds.append(time.perf_counter() - self._start)


class _PeakMemory(AbstractContextManager["_PeakMemory"]):
    """Highest memory while a block runs: allocated on the GPU, or resident on the CPU.

    Attributes
    ----------
    megabytes
        The peak; NaN where the operating system does not tell.
    """

    def __init__(self, device: str, interval: float = 0.01) -> None:
        self.device = device
        self.interval = interval
        self.megabytes = np.nan
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _PeakMemory:
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        elif RESIDENT_MEMORY.exists():
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.device == "cuda":
            self.megabytes = torch.cuda.max_memory_allocated() / 2**20
        elif self._thread.is_alive():
            self._stop.set()
            self._thread.join()

    def _watch(self) -> None:
        while True:
            pages = int(RESIDENT_MEMORY.read_text().split()[1])
            self.megabytes = np.nanmax([self.megabytes, pages * PAGE_BYTES / 2**20])
            if self._stop.wait(self.interval):
                return


def _choose_devices(devices: Iterable[str] | None) -> tuple[list[str], tuple[str, ...]]:
    has_gpu = torch.cuda.is_available()
    asked = ["cpu", "cuda"] if devices is None else list(devices)
    if "cuda" in asked and not has_gpu:
        return [device for device in asked if device != "cuda"], (NO_GPU,)
    return asked, ()


def _screen_of(n_cells: int, n_genes: int) -> ad.AnnData:
    """Simulate a screen of exactly ``n_cells`` cells; large ones repeat cells."""
    n_simulated = min(n_cells, N_SIMULATED)
    per_condition = int(0.75 * n_simulated) // N_CONDITIONS
    world = ProgramsWorld(
        n_genes=n_genes,
        n_cells=per_condition,
        n_control=n_simulated - N_CONDITIONS * per_condition,
    )
    simulated = world.screen()
    cells = np.resize(np.arange(n_simulated), n_cells)
    names = [f"cell_{cell}" for cell in range(n_cells)]
    return ad.AnnData(
        simulated.X[cells],
        obs=simulated.obs.iloc[cells].set_axis(names),
        var=simulated.var,
        uns={"drug_features": simulated.uns["drug_features"]},
    )


def _time_pair(adata: ad.AnnData, device: str, settings: SpeedSettings) -> pd.DataFrame:
    """Time both models in turn, several times, and keep the fastest run of each."""
    makers = {"GIM": _make_gim, "scVI": _make_scvi}
    runs = [
        run
        for _ in range(settings.n_repeats)
        for name, make in makers.items()
        for run in _time_model(name, make, adata, device, settings)
    ]
    table = pd.DataFrame(runs)
    fastest = table.groupby(["task", "model"])["seconds"].transform("min") == table["seconds"]
    best = table[fastest].drop_duplicates(["task", "model"]).sort_values(["task", "model"])
    return best.assign(cells_per_second=best["n_cells"] / best["seconds"])


def _time_model(
    name: str,
    make: Callable[[ad.AnnData, SpeedSettings], GIM | SCVI],
    adata: ad.AnnData,
    device: str,
    settings: SpeedSettings,
) -> list[dict[str, object]]:
    timer = _EpochTimer(device)
    with _PeakMemory(device) as training_memory:
        model = make(adata.copy(), settings)
        extra: dict[str, Any] = {"fix_gauge": False} if isinstance(model, GIM) else {}
        model.train(
            max_epochs=settings.n_epochs,
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            batch_size=settings.batch_size,
            train_size=1.0,
            early_stopping=False,
            callbacks=[timer],
            logger=False,
            enable_progress_bar=False,
            **extra,
        )
    with _PeakMemory(device) as prediction_memory:
        start = time.perf_counter()
        n_predicted = _sample(model, adata)
        _wait_for(device)
        seconds = time.perf_counter() - start
    common = {"device": device, "model": name}
    return [
        common
        | {
            "task": "training",
            "n_cells": adata.n_obs,
            "seconds": min(timer.seconds),
            "peak_memory_mb": training_memory.megabytes,
        },
        common
        | {
            "task": "prediction",
            "n_cells": adata.n_obs,
            "seconds": seconds * adata.n_obs / n_predicted,
            "peak_memory_mb": prediction_memory.megabytes,
        },
    ]


def _make_gim(adata: ad.AnnData, settings: SpeedSettings) -> GIM:
    GIM.setup_anndata(
        adata,
        perturbation_key="drug",
        control="vehicle",
        dose_key="dose",
        features_key="drug_features",
    )
    return GIM(
        adata,
        n_nodes=settings.n_latent,
        n_hidden=settings.n_hidden,
        n_layers=settings.n_layers,
        gene_likelihood="nb",
    )


def _make_scvi(adata: ad.AnnData, settings: SpeedSettings) -> SCVI:
    SCVI.setup_anndata(adata)
    return SCVI(
        adata,
        n_latent=settings.n_latent,
        n_hidden=settings.n_hidden,
        n_layers=settings.n_layers,
        gene_likelihood="nb",
    )


def _sample(model: GIM | SCVI, adata: ad.AnnData) -> int:
    """Sample about as many counts as there are cells, and say how many."""
    if isinstance(model, SCVI):
        model.posterior_predictive_sample(n_samples=1)
        return adata.n_obs
    treated = adata.obs.loc[adata.obs["drug"] != "vehicle", ["drug", "dose"]]
    conditions = treated.drop_duplicates().reset_index(drop=True)
    per_condition = max(1, adata.n_obs // len(conditions))
    return model.predict(conditions, n_cells=per_condition, seed=0).n_obs


def _wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _compare(timings: pd.DataFrame) -> pd.DataFrame:
    """Put the time over that of scVI beside each timing."""
    keys = ["device", "n_cells", "task"]
    scvi = timings[timings["model"] == "scVI"].set_index(keys)["seconds"]
    reference = pd.MultiIndex.from_frame(timings[keys]).map(scvi)
    compared = timings.assign(time_over_scvi=timings["seconds"] / reference.to_numpy(dtype=float))
    columns = ["model", "seconds", "cells_per_second", "peak_memory_mb", "time_over_scvi"]
    return compared[[*keys, *columns]].reset_index(drop=True)


def _say(console: Console | None, timings: pd.DataFrame) -> None:
    if console is None:
        return
    for row in timings.to_dict("records"):
        console.print(
            f"{row['device']}, {row['n_cells']:,} cells, {row['task']}, {row['model']}: "
            f"{row['cells_per_second']:,.0f} cells/s",
            highlight=False,
        )
