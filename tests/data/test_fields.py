import numpy as np
import pandas as pd
import pytest
from scvi.data import AnnDataManager

from scgim.data import (
    CovariateField,
    DoseField,
    ExpressionField,
    LabelField,
    PerturbationField,
    SizeFactorField,
    count_conditions,
)


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


def registered(adata, *fields):
    manager = AnnDataManager(fields=list(fields), setup_method_args={})
    manager.register_fields(adata)
    return manager


@pytest.mark.parametrize("scale", [1.0, 1e9], ids=["unit", "unix time"])
def test_continuous_covariates_are_standardised_and_new_cells_by_the_same_scale(adata, scale):
    adata.obs["age"] = adata.obs.age + scale
    manager = registered(adata, CovariateField(["age"]))
    values = np.asarray(manager.get_from_registry("extra_continuous_covs"))
    assert abs(values.mean()) < 1e-6
    assert values.std() == pytest.approx(1.0)
    new = adata[:5].copy()
    new.obs["age"] = adata.obs.age.mean() + 2 * adata.obs.age.std(ddof=0)
    np.testing.assert_allclose(
        np.asarray(manager.transfer_fields(new).get_from_registry("extra_continuous_covs")),
        2.0,
        rtol=1e-6,
    )
    assert adata.obs.age.iloc[0] == scale


def test_a_constant_covariate_is_zero(adata):
    adata.obs["age"] = 0.1
    values = registered(adata, CovariateField(["age"])).get_from_registry("extra_continuous_covs")
    assert (np.asarray(values) == 0).all()


def test_covariates_of_models_without_a_scale_stay_as_they_are(adata):
    manager = registered(adata, CovariateField(["age"]))
    state = manager.registry["field_registries"]["extra_continuous_covs"]["state_registry"]
    del state["center"], state["scale"]
    new = manager.transfer_fields(adata[:5].copy())
    np.testing.assert_array_equal(
        np.asarray(new.get_from_registry("extra_continuous_covs"))[:, 0], adata.obs.age[:5]
    )


@pytest.mark.parametrize("scale", [1.0, 1e-4, 250.0])
def test_size_factors_of_any_scale_give_the_same_library(adata, scale):
    adata.X[:24] *= 3
    totals = adata.X.sum(1)
    adata.obs["size"] = totals * scale
    manager = registered(adata, SizeFactorField("size", None))
    np.testing.assert_allclose(
        np.asarray(manager.get_from_registry("size_factor")).ravel(), totals, rtol=1e-6
    )
    new = adata[24:].copy()
    np.testing.assert_allclose(
        np.asarray(manager.transfer_fields(new).get_from_registry("size_factor")).ravel(),
        totals[24:],
        rtol=1e-6,
    )


def test_size_factors_of_models_without_a_scale_are_totals(adata):
    adata.obs["size"] = 2.0
    manager = registered(adata, SizeFactorField("size", None))
    del manager.registry["field_registries"]["size_factor"]["state_registry"]["scale"]
    new = manager.transfer_fields(adata[:3].copy())
    assert set(np.asarray(new.get_from_registry("size_factor")).ravel()) == {2.0}


@pytest.mark.parametrize(
    "labels",
    [
        lambda s: s.map({"vehicle": 0, "A": 1, "B+A": 2, "C": 3}),
        lambda s: s.map({"vehicle": 0, "A": 1, "B+A": 2, "C": 3}).astype("Int64"),
        lambda s: s != "vehicle",
        lambda s: s.where(s != "A", 1),
        lambda s: s.astype("category").cat.add_categories(["never run"]),
        lambda s: s.astype("string"),
    ],
    ids=["integers", "nullable integers", "booleans", "mixed", "unused category", "string"],
)
def test_labels_of_every_type_are_text_and_their_column_is_left_as_it_was(adata, labels):
    adata.obs["drug"] = labels(adata.obs.drug)
    before = adata.obs.drug.copy()
    manager = registered(adata, LabelField("labels", "drug"))
    names = list(manager.get_state_registry("labels")["categorical_mapping"])
    codes = np.asarray(manager.get_from_registry("labels")).ravel()
    assert [names[code] for code in codes] == before.astype(str).tolist()
    assert set(names) == set(before.astype(str))
    pd.testing.assert_series_equal(adata.obs.drug, before)
    again = manager.transfer_fields(adata[::2].copy())
    assert list(again.get_state_registry("labels")["categorical_mapping"]) == names


def test_float32_doses_are_stored_as_they_were_written(adata):
    adata.obs["dose"] = (adata.obs.dose * 0.07).astype(np.float32)
    manager = registered(adata, DoseField("dose"))
    assert set(np.asarray(manager.get_from_registry("dose")).ravel()) == {0, 0.07, 0.14, 0.28, 0.56}
    assert 0.07 in count_conditions(adata.obs, "drug", "dose").dose.to_numpy()


def test_the_space_of_expression_is_that_of_set_up_whatever_comes_later(adata):
    manager = registered(adata, ExpressionField("X", None, is_count_data=False))
    space = manager.get_state_registry("X")["expression_space"]
    assert space["is_whole"] == 1
    new = adata.copy()
    new.X = np.log1p(new.X)
    assert manager.transfer_fields(new).get_state_registry("X")["expression_space"] == space
