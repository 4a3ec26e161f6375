"""Models through folders of the scvi-tools hub."""

import importlib
import json
import re
from importlib.metadata import version

import numpy as np
import pytest

from scgim.model import GIM
from scgim.model.host._hub_mixin import METADATA_NAME

SEEN = [("drug_a", 10.0), ("drug_x", 5.0)]
# The helper of scvi-tools writes cards for its own models only.
CARD = "---\nlicense: bsd-3-clause\nlibrary_name: scgim\n---\n\n# GIM of a small screen\n"


def predict(model):
    return model.predict(SEEN, n_cells=3, seed=1).X.toarray()


def says(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


@pytest.fixture(params=[False, True], ids=["pickle", "safe"])
def shared(model, tmp_path, request):
    """Hub folder with a model in either format, written as the user guide says."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    hub = importlib.import_module("scvi.hub")
    folder = tmp_path / "gim"
    model.save(folder, safe=request.param)
    metadata = hub.HubMetadata(
        version("scvi-tools"), version("anndata"), "GIM", model_parent_module="scgim.model"
    )
    card = huggingface_hub.ModelCard(CARD)
    hub.HubModel(str(folder), metadata=metadata, model_card=card).save()
    return folder


def test_scvi_tools_loads_a_model_from_its_hub_folder(model, screen, shared):
    received = importlib.import_module("scvi.hub").HubModel(str(shared))
    assert received.metadata.model_cls_name == "GIM"
    if (shared / "model.pt").exists():
        with pytest.raises(ValueError, match="is a pickle, which can run any code"):
            received.load_model(adata=screen.copy())
        return
    received.load_model(adata=screen.copy())
    assert isinstance(received.model, GIM)
    np.testing.assert_array_equal(predict(received.model), predict(model))


def test_metadata_can_be_read_from_the_pickle_of_scvi_tools(model, tmp_path):
    pytest.importorskip("huggingface_hub")
    hub = importlib.import_module("scvi.hub")
    model.save(tmp_path / "gim", safe=False)
    metadata = hub.HubMetadata.from_dir(
        str(tmp_path / "gim"),
        anndata_version=version("anndata"),
        model_parent_module="scgim.model",
    )
    assert metadata.model_cls_name == "GIM"


def test_a_hub_folder_is_loaded_without_cells(model, shared):
    received = GIM.load_hub_folder(shared, safe=False)
    assert received.adata is None
    np.testing.assert_array_equal(predict(received), predict(model))


def test_a_hub_folder_is_loaded_with_cells(model, screen, tmp_path):
    model.save(tmp_path / "gim", save_anndata=True)
    (tmp_path / "gim" / METADATA_NAME).write_text('{"model_cls_name": "GIM"}')
    assert GIM.load_hub_folder(tmp_path / "gim").adata.shape == screen.shape
    assert GIM.load_hub_folder(tmp_path / "gim", screen[:90].copy()).adata.n_obs == 90


def test_metadata_have_the_name_that_scvi_tools_gives_them():
    pytest.importorskip("huggingface_hub")
    constants = importlib.import_module("scvi.hub._constants")
    assert constants._SCVI_HUB.METADATA_FILE_NAME == METADATA_NAME


def test_a_hub_folder_without_metadata_is_named(model, tmp_path):
    model.save(tmp_path / "gim", safe=True)
    message = (
        f"{str(tmp_path / 'gim')!r} is not a folder of the scvi-tools hub: there is no "
        "'_scvi_required_metadata.json' in it. Ask its author for that file or make it with "
        "`scvi.hub.HubMetadata` (user guide, 'At home in scvi-tools'), or load the model alone "
        "with `GIM.load`."
    )
    with says(message):
        GIM.load_hub_folder(tmp_path / "gim")


def test_a_hub_folder_that_does_not_exist_is_named(tmp_path):
    message = (
        f"There is no folder {str(tmp_path / 'gim')!r}. Pass the folder that `scvi.hub.HubModel` "
        "wrote or downloaded."
    )
    with says(message):
        GIM.load_hub_folder(tmp_path / "gim")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"model_cls_name": ', "JSONDecodeError: Expecting value: line 1 column 20 (char 19)"),
        ("{}", "KeyError: 'model_cls_name'"),
        ("[]", "TypeError: list indices must be integers or slices, not str"),
    ],
)
def test_damaged_metadata_are_named(tmp_path, text, problem):
    path = tmp_path / METADATA_NAME
    path.write_text(text)
    message = (
        f"{str(path)!r} is damaged: it is not JSON with a 'model_cls_name' ({problem}). Copy the "
        "folder of the model again, or save the model again."
    )
    with says(message):
        GIM.load_hub_folder(tmp_path)


def test_metadata_of_another_model_are_refused(tmp_path):
    (tmp_path / METADATA_NAME).write_text(json.dumps({"model_cls_name": "SCVI"}))
    message = f"The model in {str(tmp_path)!r} is a SCVI, not a GIM. Load it with `SCVI.load`."
    with says(message):
        GIM.load_hub_folder(tmp_path)


def test_a_pickle_in_a_hub_folder_can_be_refused(model, tmp_path):
    model.save(tmp_path / "gim", safe=False)
    (tmp_path / "gim" / METADATA_NAME).write_text('{"model_cls_name": "GIM"}')
    with pytest.raises(ValueError, match="is a pickle, which can run any code"):
        GIM.load_hub_folder(tmp_path / "gim")
