import io
import json

import pytest
import torch
from rich.console import Console

from scgim.benchmark import SpeedSettings, benchmark_speed
from scgim.benchmark._speed import _choose_devices, _PeakMemory, _screen_of


@pytest.fixture(scope="module")
def result():
    settings = SpeedSettings(n_genes=30, n_latent=3, n_hidden=16, n_epochs=1, n_repeats=1)
    return benchmark_speed([1_000], devices=["cpu"], settings=settings)


def test_both_models_are_timed_at_both_tasks(result):
    assert sorted(zip(result.scores["task"], result.scores["model"], strict=True)) == [
        ("prediction", "GIM"),
        ("prediction", "scVI"),
        ("training", "GIM"),
        ("training", "scVI"),
    ]
    assert (result.scores["cells_per_second"] > 0).all()


def test_time_is_compared_with_scvi_on_the_same_task(result):
    table = result.scores.set_index(["task", "model"])
    ratio = table.loc[("training", "GIM"), "seconds"] / table.loc[("training", "scVI"), "seconds"]
    assert table.loc[("training", "GIM"), "time_over_scvi"] == pytest.approx(ratio)
    assert table.loc[("prediction", "scVI"), "time_over_scvi"] == 1


def test_table_is_printed_and_written(result, tmp_path):
    output = io.StringIO()
    result.print(Console(file=output, width=120))
    assert "time / scVI" in output.getvalue()
    result.write_json(tmp_path / "speed.json")
    document = json.loads((tmp_path / "speed.json").read_text())
    assert document["benchmark"] == "speed"
    assert len(document["table"]) == 4


def test_missing_gpu_is_said_in_words(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _choose_devices(None) == (
        ["cpu"],
        ("No CUDA device was found, so the GPU part was left out.",),
    )
    assert _choose_devices(["cpu"]) == (["cpu"], ())


def test_large_screens_repeat_cells():
    adata = _screen_of(9_000, 20)
    assert adata.shape == (9_000, 20)
    assert adata.obs_names.is_unique
    assert (adata.obs["drug"] == "vehicle").any()


def test_peak_memory_sees_what_a_block_allocates():
    with _PeakMemory("cpu", interval=0.001) as before:
        pass
    with _PeakMemory("cpu", interval=0.001) as during:
        block = torch.ones(50_000_000)
        block += 1
    if before.megabytes != before.megabytes:  # NaN: the system does not tell
        pytest.skip("this system does not tell the resident memory")
    assert during.megabytes - before.megabytes > 100


def test_too_few_cells_are_refused():
    with pytest.raises(ValueError, match="`n_cells=10` is too small: it must be at least 1000"):
        benchmark_speed([10])
