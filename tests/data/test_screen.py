import numpy as np
import pandas as pd
import pytest

from scgim.data import Screen
from scgim.model import GIM

SETUP = {"dose_key": "dose", "features_key": "features"}


def _screen(adata, **setup):
    GIM.setup_anndata(adata, "drug", "vehicle", **(SETUP | setup))
    return Screen.from_registry(GIM(adata, n_nodes=2).registry_)


@pytest.fixture
def screen(adata):
    return _screen(
        adata,
        batch_key="plate",
        categorical_covariate_keys=["donor"],
        continuous_covariate_keys=["age"],
    )


def test_screen_reads_keys_and_categories_from_the_registry(screen):
    assert (screen.perturbation_key, screen.dose_key, screen.batch_key) == ("drug", "dose", "plate")
    assert screen.batches == ("p1", "p2")
    assert screen.categorical_covariates == {"donor": ("x", "y")}
    assert screen.continuous_covariates == ("age",)
    assert screen.program_mask is None


def test_doses_of_perturbed_cells_are_sorted_without_the_control(screen):
    assert screen.treated_doses.tolist() == [1.0, 2.0, 4.0, 8.0]


def test_perturbations_of_combinations_are_seen(screen):
    assert screen.table.perturbations == ("A", "B", "C")
    assert screen.is_seen("B")
    assert not screen.is_seen("unseen")


def test_range_of_doses_is_that_of_the_perturbation_alone_or_in_combinations(adata):
    adata.obs.loc[(adata.obs.drug == "C") & (adata.obs.dose > 4), "dose"] = 100.0
    adata.obs.loc[(adata.obs.drug == "B+A") & (adata.obs.dose < 2), "dose"] = 0.5
    screen = _screen(adata)
    assert screen.dose_range("C") == (1.0, 100.0)
    assert screen.dose_range("A") == (0.5, 8.0)
    assert screen.dose_range("unseen") == (0.5, 100.0)


def test_features_of_seen_perturbations_are_in_the_order_of_the_table(screen):
    np.testing.assert_array_equal(screen.seen_features, [[0, 1, 1], [1, 1, 2], [0, 0, 4]])


def test_columns_with_one_prefix_are_one_block(screen):
    blocks = screen.feature_blocks
    assert blocks[0] == blocks[1] != blocks[2]


def test_a_screen_without_doses_and_features_says_so(adata):
    adata.obs["drug"] = adata.obs.drug.replace({"B+A": "B"})
    screen = _screen(adata, dose_key=None, features_key=None)
    assert screen.treated_doses.size == 0
    assert np.isnan(screen.dose_range("A")).all()
    assert screen.seen_features is None
    assert screen.batch_key is None
    assert screen.conditions.n_cells.sum() == 48


def test_program_mask_comes_back_as_a_table(adata):
    adata.varm["mask"] = pd.DataFrame(np.eye(4)[:, :2], index=adata.var_names, columns=["p", "q"])
    mask = _screen(adata, program_mask_key="mask").program_mask
    assert list(mask) == ["p", "q"]
    np.testing.assert_array_equal(mask, np.eye(4)[:, :2])
