import numpy as np
import pytest
import scipy.sparse as sp

from scgim.model import GIM

DOORS = {
    "predict": lambda model, cells: model.predict([("drug_a", 1.0)], adata=cells),
    "do": lambda model, cells: model.do({model.node_names_[0]: 1.0}, adata=cells),
    "get_latent_representation": lambda model, cells: model.get_latent_representation(cells),
    "get_normalized_expression": lambda model, cells: model.get_normalized_expression(cells),
    "annotate": lambda model, cells: model.annotate(cells),
    "load_query_data": lambda model, cells: GIM.load_query_data(cells, model),
}


@pytest.fixture
def control(screen):
    return screen[screen.obs.drug == "vehicle"].copy()


@pytest.mark.parametrize("door", list(DOORS))
def test_every_door_refuses_logarithms_where_training_had_counts(model, control, door):
    control.X = sp.csr_matrix(np.log1p(control.X.toarray()))
    with pytest.raises(ValueError, match=r"not whole numbers.*raw counts"):
        DOORS[door](model, control)


@pytest.mark.parametrize("door", [door for door in DOORS if door != "load_query_data"])
def test_every_door_refuses_counts_where_training_had_another_space(
    genes_model, genes_screen, door
):
    cells = genes_screen[genes_screen.obs.drug == "vehicle"].copy()
    cells.X = np.round(np.abs(cells.X) * 20)
    genes = {"predict": lambda model, c: model.predict([("drug_00", 1.0)], adata=c)}
    with pytest.raises(ValueError, match="not the kind of expression"):
        (DOORS | genes)[door](genes_model, cells)


@pytest.mark.parametrize("door", list(DOORS))
def test_every_door_refuses_cells_without_a_value(model, control, door):
    counts = control.X.toarray()
    counts[40, 3] = np.nan
    control.X = counts
    with pytest.raises(ValueError, match="missing or infinite values"):
        DOORS[door](model, control)


@pytest.mark.parametrize("key", ["drug", "dose"])
def test_a_column_that_new_cells_lack_is_named(model, control, key):
    del control.obs[key]
    with pytest.raises(ValueError, match=f"has no column '{key}'"):
        model.get_latent_representation(control)


def test_cells_changed_between_set_up_and_model_are_refused(adata):
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose")
    adata.obs["dose"] *= 1000
    with pytest.raises(ValueError, match=r"'dose'\]` changed after `GIM.setup_anndata`"):
        GIM(adata)


def test_cells_changed_between_model_and_training_are_refused(adata):
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose")
    model = GIM(adata, n_nodes=3)
    adata.X = sp.csr_matrix(np.log1p(adata.X.toarray()))
    with pytest.raises(ValueError, match=r"^`adata.X` changed after"):
        model.train(1)


def test_own_cells_changed_after_training_are_refused(adata, trained):
    model = trained(adata)
    adata.X = sp.csr_matrix(np.log1p(adata.X.toarray()))
    with pytest.raises(ValueError, match=r"^`adata.X` changed after"):
        model.get_latent_representation()
    assert model.predict([("drug_a", 1.0)], n_cells=2).n_obs == 2


def test_a_second_set_up_does_not_change_a_model_made_before(screen, trained):
    alone = trained(screen.copy(), setup={"batch_key": "lane"}).predict_shift([("drug_a", 10.0)])
    adata = screen.copy()
    adata.obs["shuffled"] = np.random.default_rng(0).permutation(adata.obs.drug)
    adata.obs["no_dose"] = np.where(adata.obs.shuffled == "vehicle", 0.0, 1.0)
    GIM.setup_anndata(
        adata, "drug", "vehicle", dose_key="dose", features_key="drug_features", batch_key="lane"
    )
    first = GIM(adata, n_nodes=3, n_hidden=16, n_layers=1)
    GIM.setup_anndata(adata, "shuffled", "vehicle", dose_key="no_dose", batch_key="donor")
    second = GIM(adata, n_nodes=3, n_hidden=16, n_layers=1)
    options = {"accelerator": "cpu", "batch_size": 64, "enable_progress_bar": False}
    first.train(1, fix_gauge=False, **options)
    assert list(first.screen.batches) == ["lane_1", "lane_2"]
    assert list(second.screen.batches) == ["x", "y", "z"]
    assert first.fitted.statistics.n_cells.sum() == adata.n_obs
    assert sorted(set(first.fitted.statistics.dose)) == pytest.approx(sorted(set(adata.obs.dose)))
    assert alone.shape == first.predict_shift([("drug_a", 10.0)]).shape
    second.train(1, fix_gauge=False, **options)
    assert set(second.fitted.statistics.dose) == {0.0, 1.0}
