import os
import signal
from functools import partial

import anndata as ad
import pandas as pd
import pytest
from fixtures.kills import killed_after

from scgim.cli import main
from scgim.datasets import GenesWorld, ProgramsWorld
from scgim.evaluation.report._report import Report
from scgim.model.host._training_checkpoint import KeepCheckpoint

KEYS = ("--perturbation", "drug", "--control", "vehicle", "--dose", "dose")


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    world = ProgramsWorld(
        n_nodes=4,
        n_genes=50,
        n_control=100,
        n_cells=6,
        n_classes=3,
        n_drugs=9,
        n_unseen=2,
        n_sums=1,
        n_interior=2,
        n_top=1,
    )
    adata = world.screen()
    del adata.uns["truth"]
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    adata.write_h5ad(path)
    return path


def _run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


@pytest.fixture(scope="module")
def fitted(screen):
    out = screen.parent / "fitted"
    options = ("--features", "drug_features", "--n-nodes", 4, "--max-epochs", 2, "--out", out)
    assert _run("fit", screen, *KEYS, *options) == 0
    return out


def test_model_data_tables_figures_and_report_are_written(fitted):
    assert ad.read_h5ad(fitted / "annotated.h5ad").obsm["X_gim"].shape[1] == 4
    assert (fitted / "model").is_dir()
    tables = {path.stem for path in (fitted / "tables").iterdir()}
    assert tables == {"intervention_targets", "causal_graph", "gene_programs", "dose_response"}
    targets = pd.read_csv(fitted / "tables" / "intervention_targets.csv")
    assert len(targets) == 9 * 4
    page = (fitted / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(list((fitted / "figures").iterdir()))


def test_users_file_is_not_touched(screen, fitted):
    adata = ad.read_h5ad(screen)
    assert not [key for key in adata.uns if "scvi" in key or "gim" in key]
    assert list(adata.obsm) == ["true_nodes"]


def test_features_may_come_from_a_file(screen, tmp_path):
    adata = ad.read_h5ad(screen)
    adata.uns.pop("drug_features").to_csv(tmp_path / "features.csv")
    adata.write_h5ad(tmp_path / "bare.h5ad")
    options = ("--features", tmp_path / "features.csv", "--n-nodes", 3, "--max-epochs", 1)
    assert _run("fit", tmp_path / "bare.h5ad", *KEYS, *options, "--out", tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--control", "vehicel"), "'vehicle'"),
        (("--perturbation", "drugs"), "['drug'"),
        (("--dose", "doze"), "['dose'"),
        (("--features", "drug_featurs"), "neither a table in `uns` nor a file"),
        (("--layer", "counts"), "counts"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(screen, tmp_path, capsys, options, message):
    out = tmp_path / "out"
    code = _run("fit", screen, *KEYS, "--features", "drug_features", *options, "--out", out)
    printed = capsys.readouterr().err
    assert code == 2
    assert "Error: " in printed
    assert message in printed
    assert "Traceback" not in printed
    assert not out.exists()


@pytest.fixture(scope="module")
def genes_screen(tmp_path_factory):
    world = GenesWorld(n_nodes=5, n_drugs=8, n_unseen=2, n_control=200, n_cells=20, graph="er1")
    adata = world.screen()
    for key in ("truth", "held_out"):
        del adata.uns[key]
    folder = tmp_path_factory.mktemp("genes")
    adata.write_h5ad(folder / "screen.h5ad")
    edges = pd.DataFrame({"source": adata.var_names[:2], "target": adata.var_names[1:3]})
    edges.assign(weight=1.0).to_csv(folder / "edges.csv", index=False)
    return folder


def test_named_genes_are_fitted_with_likely_edges(genes_screen):
    options = ("--features", "drug_features", "--causal-space", "genes", "--likelihood", "normal")
    out = genes_screen / "fitted"
    edges = ("--edges", genes_screen / "edges.csv")
    assert _run("fit", genes_screen / "screen.h5ad", *KEYS, *options, *edges, "--out", out) == 0
    graph = pd.read_csv(out / "tables" / "causal_graph.csv", index_col=0)
    assert list(graph) == [f"gene_{i}" for i in range(5)]
    assert "Search of the causal graph" in (out / "report.html").read_text()
    assert not (out / "figures" / "gene_programs.png").exists()


def test_named_genes_ask_for_counts_unless_told_otherwise(genes_screen, capsys):
    options = ("--causal-space", "genes", "--out", genes_screen / "counts")
    assert _run("fit", genes_screen / "screen.h5ad", *KEYS, *options) != 0
    assert "gene_likelihood='normal'" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_same_command_goes_on_after_a_kill(screen, tmp_path, monkeypatch, capsys):
    options = ("--features", "drug_features", "--n-nodes", 3, "--max-epochs", 4)
    fit = partial(_run, "fit", screen, *KEYS, *options, "--out")
    assert fit(tmp_path / "whole", "--no-checkpoint") == 0
    write = KeepCheckpoint._write

    def write_and_be_killed(self, folder, trainer, plan):
        write(self, folder, trainer, plan)
        if trainer.current_epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(KeepCheckpoint, "_write", write_and_be_killed)
    assert killed_after(120, lambda: fit(tmp_path / "out"))
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "out-checkpoint"}
    assert fit(tmp_path / "out") == 0
    assert "Going on from the last epoch" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "out"}
    name = "model/weights.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    tables = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.csv")]
    assert len(tables) == 4
    for table in tables:  # same seed, same bytes
        assert (tmp_path / "out" / table).read_bytes() == (tmp_path / "whole" / table).read_bytes()


def test_another_command_begins_anew(screen, tmp_path, capsys):
    (tmp_path / "out-checkpoint").mkdir()
    (tmp_path / "out-checkpoint" / "scgim.json").write_text("of another training")
    options = ("--features", "drug_features", "--n-nodes", 3, "--max-epochs", 1)
    assert _run("fit", screen, *KEYS, *options, "--out", tmp_path / "out") == 0
    assert "Beginning anew" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_kill_while_files_are_written_leaves_the_earlier_folder(screen, tmp_path, monkeypatch):
    options = ("--features", "drug_features", "--n-nodes", 3, "--max-epochs", 1)
    fit = partial(_run, "fit", screen, *KEYS, *options, "--no-checkpoint", "--out")
    out = tmp_path / "out"
    assert fit(out) == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    def be_killed(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    for place, name in ((ad.AnnData, "write"), (Report, "write")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, be_killed)
            assert killed_after(120, lambda: fit(out))
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert fit(out) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_names_are_never_run_or_set_as_mathematics(screen, tmp_path):
    names = {
        "drug_00": "<script>alert(1)</script>",
        "drug_01": "=HYPERLINK(1)",
        "drug_02": "$\\frac{$",
        "drug_03": "@cmd",
        "drug_04": "\"quoted\" & 'x'",
    }
    adata = ad.read_h5ad(screen)
    adata.obs["drug"] = adata.obs["drug"].astype(str).replace(names)
    adata.uns["drug_features"] = adata.uns["drug_features"].rename(index=names)
    adata.var_names = ["$\\bad{$", "<b>gene", *adata.var_names[2:]]
    adata.write_h5ad(tmp_path / "screen.h5ad")
    options = ("--features", "drug_features", "--n-nodes", 3, "--max-epochs", 1)
    out = tmp_path / "out"
    assert _run("fit", tmp_path / "screen.h5ad", *KEYS, *options, "--out", out) == 0
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    targets = pd.read_csv(out / "tables" / "intervention_targets.csv")
    found = set(targets["perturbation"])
    assert {"'=HYPERLINK(1)", "'@cmd", "<script>alert(1)</script>"} <= found
    assert not [name for name in found if name.startswith(("=", "+", "-", "@"))]
