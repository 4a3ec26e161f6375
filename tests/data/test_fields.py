import numpy as np
import pandas as pd
import pytest
from scvi.data import AnnDataManager

from scgim.data import DoseField, PerturbationField, count_conditions


@pytest.fixture
def manager(adata):
    adata.varm["mask"] = pd.DataFrame(
        np.eye(4)[:, :2], index=adata.var_names, columns=["p53", "MAPK"]
    )
    features = adata.uns["features"]
    fields = [PerturbationField("drug", "vehicle", features, "dose", "mask"), DoseField("dose")]
    manager = AnnDataManager(fields=fields, setup_method_args={})
    manager.register_fields(adata)
    return manager


def test_each_cell_has_one_code_and_the_table_lives_once_in_the_registry(manager, adata):
    state = manager.get_state_registry("perturbation")
    codes = manager.get_from_registry("perturbation").ravel()
    labels = np.asarray(state["categorical_mapping"])[codes]
    np.testing.assert_array_equal(labels, adata.obs.drug)
    assert state["control"] == "vehicle"
    assert np.asarray(state["features"]).shape == (4, 3)
    assert list(state["feature_index"]) == ["A", "B", "C", "unseen"]
    assert not [key for key in adata.obsm if "feature" in key]


def test_conditions_that_were_run_are_counted_in_the_registry(manager):
    conditions = pd.DataFrame(dict(manager.get_state_registry("perturbation")["conditions"]))
    assert len(conditions) == 13
    assert conditions.set_index("perturbation").n_cells["vehicle"] == 12
    assert conditions.n_cells.sum() == 48


def test_program_mask_and_its_names_are_registered(manager):
    state = manager.get_state_registry("perturbation")
    assert list(state["program_names"]) == ["p53", "MAPK"]
    assert np.asarray(state["program_mask"]).sum() == 2


def test_doses_keep_their_values(manager, adata):
    np.testing.assert_allclose(manager.get_from_registry("dose").ravel(), adata.obs.dose)


def test_cells_under_new_perturbations_are_accepted_behind_the_known_ones(manager, adata):
    new = adata.copy()
    new.obs["drug"] = np.where(new.obs.drug == "A", "brand new", new.obs.drug)
    for key in [key for key in new.obs if key.startswith("_scvi")]:
        del new.obs[key]
    transferred = manager.transfer_fields(new, extend_categories=True)
    mapping = list(transferred.get_state_registry("perturbation")["categorical_mapping"])
    known = list(manager.get_state_registry("perturbation")["categorical_mapping"])
    assert mapping == [*known, "brand new"]


def test_conditions_are_counted_without_doses(adata):
    conditions = count_conditions(adata.obs, "drug", None)
    assert conditions.dose.isna().all()
    assert dict(zip(conditions.perturbation, conditions.n_cells, strict=True)) == {
        "A": 12,
        "B+A": 12,
        "C": 12,
        "vehicle": 12,
    }
