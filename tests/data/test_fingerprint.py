import numpy as np
import pytest
import scipy.sparse as sp

from scgim.data._fingerprint import check_unchanged, place_of_expression, take_fingerprint
from scgim.model import GIM


@pytest.fixture
def manager(adata):
    adata.X = np.arange(adata.X.size, dtype=np.float32).reshape(adata.shape)
    adata.obs["size"] = np.arange(1.0, adata.n_obs + 1)
    GIM.setup_anndata(
        adata,
        "drug",
        "vehicle",
        dose_key="dose",
        features_key="features",
        batch_key="plate",
        categorical_covariate_keys=["donor"],
        continuous_covariate_keys=["age"],
        size_factor_key="size",
    )
    return GIM._get_most_recent_anndata_manager(adata)


def test_what_a_model_reads_is_in_the_fingerprint_and_nothing_else(manager):
    keys = ("drug", "dose", "plate", "size", "donor", "age")
    expected = {"`adata.X`", *(f"`adata.obs[{key!r}]`" for key in keys)}
    before = take_fingerprint(manager)
    assert set(before) == expected
    manager.adata.obs["note"] = 1
    manager.adata.obsm["X_pca"] = np.zeros((manager.adata.n_obs, 2))
    check_unchanged(before, take_fingerprint(manager))


@pytest.mark.parametrize("key", ["drug", "dose", "plate", "size", "donor", "age"])
def test_one_changed_cell_of_a_column_is_noticed_and_named(manager, key):
    before = take_fingerprint(manager)
    column = manager.adata.obs[key]
    is_number = column.dtype.kind in "if"
    column = column.astype(float if is_number else object)
    column.iloc[3] = 7.5 if is_number else next(v for v in column if v != column.iloc[3])
    manager.adata.obs[key] = column
    with pytest.raises(ValueError, match=rf"^`adata.obs\['{key}'\]` changed after"):
        check_unchanged(before, take_fingerprint(manager))


@pytest.mark.parametrize("change", ["one value", "logarithm", "genes swapped"])
def test_changed_expression_is_noticed(manager, change):
    before = take_fingerprint(manager)
    counts = sp.csr_matrix(manager.adata.X).toarray()
    if change == "one value":
        counts[5, 3] += 1
    elif change == "logarithm":
        counts = np.log1p(counts)
    else:
        counts = counts[:, ::-1]
    manager.adata.X = sp.csr_matrix(counts)
    with pytest.raises(ValueError, match=r"^`adata.X` changed after `GIM.setup_anndata`"):
        check_unchanged(before, take_fingerprint(manager))


def test_the_same_labels_in_another_type_are_the_same(manager):
    before = take_fingerprint(manager)
    manager.adata.obs["drug"] = manager.adata.obs.drug.astype(str).astype(object)
    check_unchanged(before, take_fingerprint(manager))


def test_a_column_that_was_dropped_is_noticed(manager):
    before = take_fingerprint(manager)
    del manager.adata.obs["dose"]
    with pytest.raises(ValueError, match="'dose'"):
        check_unchanged(before, take_fingerprint(manager))


def test_the_place_is_written_as_the_user_would():
    assert place_of_expression({"layer": None}) == "`adata.X`"
    assert place_of_expression({"layer": "counts"}) == "`adata.layers['counts']`"
    assert place_of_expression({"rna_layer": "raw"}) == "`adata.layers['raw']`"
