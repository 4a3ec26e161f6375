import os
import pickle
import shutil
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from fixtures.kills import kill_at_each_moment

import scgim
from scgim.model import GIM

CONDITIONS = [("drug_a", 1.0), ("drug_x", 5.0), ("drug_a+drug_c", 2.0)]


class Malicious:
    """Leaves a mark when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def predict(model):
    return model.predict(CONDITIONS, n_cells=4, seed=1).X.toarray()


@pytest.fixture(scope="module", params=[False, True], ids=["scvi", "safe"])
def saved(request, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "gim"
    model.save(folder, safe=request.param)
    return folder


def test_a_loaded_model_is_the_one_that_was_saved(saved, model, screen):
    for adata in (False, screen.copy()):
        loaded = GIM.load(saved, adata=adata, safe=False)
        np.testing.assert_array_equal(predict(loaded), predict(model))
        pd.testing.assert_frame_equal(
            loaded.get_intervention_targets(), model.get_intervention_targets()
        )
        for name, table in model.history.items():
            pd.testing.assert_frame_equal(loaded.history[name], table, check_column_type=False)
    np.testing.assert_allclose(
        loaded.get_latent_representation(), model.get_latent_representation(), rtol=1e-5
    )


def test_a_loaded_model_can_be_trained_and_saved_again(saved, screen, tmp_path):
    loaded = GIM.load(saved, adata=screen.copy(), safe=False)
    loaded.train(1, accelerator="cpu", enable_progress_bar=False, fix_gauge=False)
    loaded.save(tmp_path / "again", safe=True)
    np.testing.assert_array_equal(predict(GIM.load(tmp_path / "again", False)), predict(loaded))


def test_the_registry_can_be_read_alone(saved, model):
    registry = GIM.load_registry(str(saved), safe=False)
    assert registry["setup_args"] == model.registry_["setup_args"]


def test_files_hold_no_pandas_object(saved):
    # What pandas 3 pickles cannot be read under pandas 2.
    for path in saved.iterdir():
        assert b"pandas" not in path.read_bytes(), path.name


def test_files_can_be_read_by_others_who_may_read_the_folder_beside(saved):
    beside = saved.parent / "beside"
    beside.mkdir(exist_ok=True)
    assert saved.stat().st_mode == beside.stat().st_mode
    (beside / "file").touch()
    for path in saved.iterdir():
        assert path.stat().st_mode == (beside / "file").stat().st_mode, path.name


def test_a_safe_folder_holds_safetensors_and_json_only(model, tmp_path):
    model.save(tmp_path / "gim", safe=True)
    names = {path.name for path in (tmp_path / "gim").iterdir()}
    assert names == {"scgim.json", "weights.safetensors", "arrays.safetensors"}


def test_loading_a_safe_folder_opens_no_pickle(model, tmp_path, monkeypatch):
    model.save(tmp_path / "gim", safe=True)

    def refuse(*args, **kwargs):
        raise AssertionError

    for module, name in ((pickle, "load"), (pickle, "loads"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    GIM.load(tmp_path / "gim", adata=False)


@pytest.mark.parametrize("name", ["model.pt", "weights.safetensors", "scgim.json"])
def test_a_malicious_pickle_is_refused(model, tmp_path, name):
    folder, mark = tmp_path / "gim", tmp_path / "was here"
    model.save(folder, safe=True)
    with (folder / name).open("wb") as file:
        pickle.dump(Malicious(mark), file)
    with pytest.raises(ValueError, match=name):
        GIM.load(folder, adata=False)
    assert not mark.exists()
    with (folder / name).open("rb") as file:
        pickle.load(file)
    assert mark.exists(), "the pickle would have left a mark"


def test_a_folder_of_scvi_is_refused_when_safety_is_asked_for(model, tmp_path):
    model.save(tmp_path / "gim", safe=False)
    with pytest.raises(ValueError, match=r"model\.pt' is a pickle, which can run any code"):
        GIM.load(tmp_path / "gim", adata=False, safe=True)


@pytest.fixture
def malicious(tmp_path):
    """Folder with a pickle that leaves a mark."""
    (tmp_path / "gim").mkdir()
    torch.save(Malicious(tmp_path / "was here"), tmp_path / "gim" / "model.pt")
    yield str(tmp_path / "gim")
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize(
    "door",
    [
        lambda folder, cells: GIM.load(folder, adata=False),
        lambda folder, cells: GIM.load(folder, adata=False, backup_url="http://localhost/model.pt"),
        lambda folder, cells: GIM.load_registry(folder),
        lambda folder, cells: GIM.view_setup_args(folder),
        lambda folder, cells: GIM.load_query_data(cells, folder),
        lambda folder, cells: GIM.prepare_query_anndata(cells, folder),
        lambda folder, cells: GIM.prepare_query_mudata(cells, folder),
        lambda folder, cells: GIM.convert_legacy_save(folder, folder, overwrite=True),
    ],
    ids=["load", "url", "registry", "view", "query", "prepare", "prepare mudata", "legacy"],
)
def test_no_door_runs_a_pickle_unasked(malicious, screen, door):
    with pytest.raises(ValueError, match=r"`safe=False`|no GIM is that old"):
        door(malicious, screen.copy())


def test_new_cells_are_prepared_for_a_saved_reference(model, screen, tmp_path):
    model.save(tmp_path / "gim")
    genes = GIM.prepare_query_anndata(screen, tmp_path / "gim", return_reference_var_names=True)
    assert list(genes) == list(screen.var_names)


def test_how_cells_were_set_up_is_printed(model, tmp_path, capsys):
    model.save(tmp_path / "gim")
    GIM.view_setup_args(tmp_path / "gim")
    assert "drug_features" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_kill_at_any_moment_of_saving_leaves_the_old_or_the_new_model(
    model, plain_model, tmp_path
):
    folder = tmp_path / "gim"

    def reset():
        shutil.rmtree(folder, ignore_errors=True)
        model.save(folder)

    found = []
    for _ in kill_at_each_moment(lambda: plain_model.save(folder, overwrite=True), reset):
        found.append(GIM.load(folder, adata=False).screen.dose_key)
        model.save(tmp_path / "next")
        shutil.rmtree(tmp_path / "next")
        assert [path.name for path in tmp_path.iterdir()] == ["gim"]
    assert set(found) == {"dose", None}


def test_what_the_user_keeps_beside_a_model_stays(model, plain_model, tmp_path):
    model.save(tmp_path / "gim")
    (tmp_path / "gim" / "README.md").write_text("what this model is")
    plain_model.save(tmp_path / "gim", overwrite=True)
    assert (tmp_path / "gim" / "README.md").read_text() == "what this model is"


def test_a_model_can_bring_its_cells(plain_model, tmp_path):
    plain_model.save(tmp_path / "gim", save_anndata=True, safe=True)
    loaded = GIM.load(tmp_path / "gim")
    assert loaded.adata.n_obs == plain_model.adata.n_obs
    np.testing.assert_array_equal(
        loaded.predict(["drug_a"], n_cells=3, seed=0).X.toarray(),
        plain_model.predict(["drug_a"], n_cells=3, seed=0).X.toarray(),
    )


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("content", [b"", b"not cells", "half"])
def test_damaged_cells_are_named(plain_model, tmp_path, safe, content):
    plain_model.save(tmp_path / "gim", save_anndata=True, safe=safe)
    load = partial(GIM.load, tmp_path / "gim", safe=safe)
    path = tmp_path / "gim" / "adata.h5ad"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(ValueError, match=r"adata\.h5ad' is damaged: it cannot be read as cells"):
        load()
    assert load(adata=False).adata is None


@pytest.mark.parametrize("safe", [False, True])
def test_cells_that_were_not_saved_are_missed_in_words(model, tmp_path, safe):
    model.save(tmp_path / "gim", safe=safe)
    with pytest.warns(UserWarning, match="No cells were saved with the model"):
        loaded = GIM.load(tmp_path / "gim", safe=safe)
    assert loaded.adata is None


def test_a_prefix_keeps_two_models_apart(model, plain_model, tmp_path):
    model.save(tmp_path / "gim", prefix="one_", safe=True)
    plain_model.save(tmp_path / "gim", prefix="two_", overwrite=True, safe=False)
    one = GIM.load(tmp_path / "gim", False, prefix="one_")
    two = GIM.load(tmp_path / "gim", False, prefix="two_", safe=False)
    assert one.screen.dose_key == "dose"
    assert two.screen.dose_key is None


@pytest.mark.parametrize("first", [False, True])
def test_overwriting_replaces_a_model_of_the_other_format(model, plain_model, tmp_path, first):
    model.save(tmp_path / "gim", safe=first)
    with pytest.raises(ValueError, match="already exists"):
        plain_model.save(tmp_path / "gim", safe=not first)
    plain_model.save(tmp_path / "gim", safe=not first, overwrite=True)
    assert GIM.load(tmp_path / "gim", adata=False, safe=False).screen.dose_key is None


@pytest.mark.parametrize("safe", [False, True])
def test_nothing_is_left_half_written(model, tmp_path, safe, monkeypatch):
    model.save(tmp_path / "gim", safe=safe)
    before = {path: path.read_bytes() for path in (tmp_path / "gim").iterdir()}

    def fail(*args, **kwargs):
        message = "disk is full"
        raise OSError(message)

    monkeypatch.setattr(torch, "save", fail)
    monkeypatch.setattr("scgim.model.host._safe_files.pack_arrays", fail)
    for folder in ("gim", "new"):
        with pytest.raises(OSError, match="disk is full"):
            model.save(tmp_path / folder, safe=safe, overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "gim").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["gim"]


@pytest.mark.parametrize("content", [b"", b"not a model", "truncated", "half", "other"])
def test_a_damaged_file_of_scvi_is_named(model, tmp_path, content):
    model.save(tmp_path / "gim", safe=False)
    path = tmp_path / "gim" / "model.pt"
    if content == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif content == "half":
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "other":
        torch.save({"weights": torch.ones(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pt' is damaged: it cannot be read as a model"):
        GIM.load(tmp_path / "gim", adata=False, safe=False)


@pytest.mark.parametrize("safe", [False, True])
def test_a_newer_format_is_refused(model, tmp_path, safe, monkeypatch):
    monkeypatch.setattr("scgim.model.host._safe_files.FORMAT_VERSION", 3)
    monkeypatch.setattr(GIM, "format_version_", 3)
    model.save(tmp_path / "gim", safe=safe)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="was written in version 3 of the model format"):
        GIM.load(tmp_path / "gim", adata=False, safe=safe)


def test_no_folder_and_no_model_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match="There is no folder"):
        GIM.load(tmp_path / "gim", adata=False)
    with pytest.raises(ValueError, match="holds no model"):
        GIM.load(tmp_path, adata=False)


def test_a_model_of_another_class_is_refused(tmp_path):
    adata = ad.AnnData(np.ones((10, 3), np.float32))
    scvi.model.SCVI.setup_anndata(adata)
    scvi.model.SCVI(adata).save(str(tmp_path / "scvi"))
    with pytest.raises(ValueError, match="is a SCVI, not a GIM"):
        GIM.load(tmp_path / "scvi", adata=False, safe=False)


def test_other_genes_are_refused(saved, screen):
    other = screen[:, :20].copy()
    with pytest.raises(ValueError, match="gene"):
        GIM.load(saved, adata=other, safe=False)


def test_only_the_first_process_writes(model, tmp_path, monkeypatch):
    monkeypatch.setattr("scgim.model.host._saving_mixin.rank_zero_only.rank", 1)
    model.save(tmp_path / "gim", safe=True)
    assert not (tmp_path / "gim").exists()


def test_the_writer_is_recorded(model, tmp_path):
    model.save(tmp_path / "gim", safe=True)
    assert f'"scgim_version": "{scgim.__version__}"' in (tmp_path / "gim/scgim.json").read_text()
