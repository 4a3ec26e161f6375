import anndata as ad
import numpy as np
import pytest

from scgim.model import GIM

ORDER = [7, 2, 2, 30, 0]


@pytest.fixture(params=["in memory", "on disk", "half precision"])
def cells(request, adata, tmp_path):
    adata.X = np.arange(adata.X.size, dtype=np.float32).reshape(adata.shape) + 1
    expected = adata.X[ORDER], adata.obs.dose.to_numpy()[ORDER]
    if request.param == "half precision":
        adata.X = adata.X.astype(np.float16)
    if request.param != "on disk":
        yield adata, *expected
        return
    adata.write_h5ad(tmp_path / "screen.h5ad")
    backed = ad.read_h5ad(tmp_path / "screen.h5ad", backed="r")
    yield backed, *expected
    backed.file.close()


def test_cells_come_in_the_order_in_which_they_are_asked_for(cells):
    adata, expression, dose = cells
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose", features_key="features")
    manager = GIM._get_most_recent_anndata_manager(adata, required=True)
    read = manager.create_torch_dataset()[ORDER]
    np.testing.assert_array_equal(read["X"], expression)
    np.testing.assert_array_equal(read["dose"][:, 0], dose.astype(np.float32))
    some = manager.create_torch_dataset(indices=np.array([9, *ORDER]))
    np.testing.assert_array_equal(some[[1, 2, 3, 4, 5]]["X"], expression)


def test_expression_is_placed_where_sums_do_not_depend_on_its_type(cells):
    adata = cells[0]
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose", features_key="features")
    manager = GIM._get_most_recent_anndata_manager(adata, required=True)
    read = manager.create_torch_dataset()[ORDER]
    assert all(tensor.data_ptr() % 64 == 0 for tensor in read.values())
