import os
import signal
import time
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from fixtures.kills import killed_after

from scgim.cli import main
from scgim.cli._tables_from_files import read_conditions
from scgim.datasets import ProgramsWorld
from scgim.model import GIM


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A briefly trained model on disk, without its data."""
    world = ProgramsWorld(
        n_nodes=4, n_genes=50, n_control=100, n_cells=6, n_classes=3, n_drugs=12, n_sums=1
    )
    adata = world.screen()
    GIM.setup_anndata(
        adata,
        perturbation_key="drug",
        control="vehicle",
        dose_key="dose",
        features_key="drug_features",
    )
    model = GIM(adata, n_nodes=4)
    model.train(max_epochs=1)
    folder = tmp_path_factory.mktemp("model") / "gim"
    model.save(str(folder))
    return folder


def _run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


@pytest.fixture
def conditions(tmp_path):
    table = pd.DataFrame({"drug": ["drug_00", "drug_01+drug_02"], "dose": [1.0, 10.0]})
    path = tmp_path / "conditions.csv"
    table.to_csv(path, index=False)
    return path


def test_cells_of_each_condition_are_written(saved, conditions, tmp_path):
    out = tmp_path / "deep" / "predicted.h5ad"
    assert _run("predict", saved, conditions, "--n-cells", 7, "--out", out) == 0
    predicted = ad.read_h5ad(out)
    assert predicted.shape == (14, 50)
    assert predicted.obs["drug"].astype(str).unique().tolist() == ["drug_00", "drug_01+drug_02"]


def test_same_seed_gives_the_same_cells(saved, conditions, tmp_path):
    cells = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / f"{name}.h5ad"
        _run("predict", saved, conditions, "--n-cells", 5, "--seed", seed, "--out", out)
        cells.append(ad.read_h5ad(out).X.toarray())
    np.testing.assert_array_equal(cells[0], cells[1])
    assert not np.array_equal(cells[0], cells[2])


def test_new_drug_is_predicted_from_its_features(saved, tmp_path):
    names = [f"descriptor_{index}" for index in range(12)]
    features = pd.DataFrame(np.zeros((1, 13)), index=["mine"], columns=[*names, "potency"])
    features.to_csv(tmp_path / "features.csv")
    pd.DataFrame({"drug": ["mine"], "dose": [1.0]}).to_csv(tmp_path / "new.csv", index=False)
    options = (
        "--features",
        tmp_path / "features.csv",
        "--n-cells",
        4,
        "--out",
        tmp_path / "o.h5ad",
    )
    assert _run("predict", saved, tmp_path / "new.csv", *options) == 0
    assert ad.read_h5ad(tmp_path / "o.h5ad").n_obs == 4


def test_unknown_drug_without_features_is_refused(saved, tmp_path, capsys):
    pd.DataFrame({"drug": ["mine"], "dose": [1.0]}).to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "o.h5ad"
    assert _run("predict", saved, tmp_path / "new.csv", "--out", out) == 2
    printed = capsys.readouterr().err
    assert "mine" in printed
    assert "Traceback" not in printed
    assert not out.exists()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_kill_at_any_moment_leaves_the_earlier_or_the_new_cells(saved, conditions, tmp_path):
    out = tmp_path / "here" / "predicted.h5ad"
    start = time.perf_counter()
    _run("predict", saved, conditions, "--n-cells", 5, "--out", out)
    seconds = time.perf_counter() - start

    def predict():
        _run("predict", saved, conditions, "--n-cells", 50, "--out", out)

    n_killed = sum(killed_after(1.2 * seconds * k / 24, predict) for k in range(1, 25))
    assert n_killed > 5
    assert ad.read_h5ad(out).n_obs in {10, 100}
    predict()
    assert ad.read_h5ad(out).n_obs == 100
    assert [path.name for path in out.parent.iterdir()] == ["predicted.h5ad"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("moment", [0, 20, 59])
def test_a_kill_while_cells_are_written_leaves_the_earlier_ones(
    saved, conditions, tmp_path, monkeypatch, moment
):
    out = tmp_path / "predicted.h5ad"
    out.write_text("earlier")
    write = ad.AnnData.write

    def write_and_be_killed(cells, path):
        write(cells, path)
        with path.open("r+b") as file:  # as if the kill had come in the middle of the file
            file.truncate(path.stat().st_size * moment // 60)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ad.AnnData, "write", write_and_be_killed)
    run = partial(_run, "predict", saved, conditions, "--n-cells", 2, "--out", out)
    assert killed_after(60, run)
    assert out.read_text() == "earlier"


def test_a_pickle_is_loaded_only_when_it_is_trusted(saved, conditions, tmp_path, capsys):
    GIM.load(saved, adata=False).save(tmp_path / "old", safe=False)
    options = (tmp_path / "old", conditions, "--n-cells", 3, "--out", tmp_path / "o.h5ad")
    assert _run("predict", *options) == 2
    assert "is a pickle, which can run any code" in capsys.readouterr().err
    assert _run("predict", *options, "--allow-pickle") == 0
    assert ad.read_h5ad(tmp_path / "o.h5ad").n_obs == 6


def test_marked_names_of_drugs_are_read_without_their_marks(saved, tmp_path):
    table = pd.DataFrame({"drug": ["'-drug"], "dose": [1.0]})
    table.to_csv(tmp_path / "c.csv", index=False)
    assert read_conditions(tmp_path / "c.csv", "drug")["drug"].tolist() == ["-drug"]


def test_a_column_that_the_model_does_not_use_is_refused_or_ignored(saved, tmp_path, capsys):
    path, out = tmp_path / "wells.csv", tmp_path / "wells.h5ad"
    pd.DataFrame({"drug": ["drug_00"], "dose": [1.0], "well": ["B7"]}).to_csv(path, index=False)
    assert _run("predict", saved, path, "--out", out) == 2
    assert "does not use" in " ".join(capsys.readouterr().err.split())
    assert _run("predict", saved, path, "--ignore", "well", "--n-cells", 2, "--out", out) == 0
    assert ad.read_h5ad(out).obs["well"].astype(str).tolist() == ["B7", "B7"]
