import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from scgim.data import _expression_blocks
from scgim.data._expression_blocks import row_blocks, sum_expression

VALUES = np.random.default_rng(0).poisson(1.0, (7, 5)).astype(np.float32)


@pytest.fixture(params=["dense", "csr", "csc", "half precision", "sparse on disk", "dense on disk"])
def expression(request, tmp_path, monkeypatch):
    monkeypatch.setattr(_expression_blocks, "CELLS_PER_BLOCK", 3)
    kinds = {
        "dense": VALUES,
        "csr": sp.csr_matrix(VALUES),
        "csc": sp.csc_matrix(VALUES),
        "half precision": VALUES.astype(np.float16),
    }
    if request.param in kinds:
        yield kinds[request.param]
        return
    is_sparse = request.param.startswith("sparse")
    ad.AnnData(sp.csr_matrix(VALUES) if is_sparse else VALUES).write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    yield backed.X
    backed.file.close()


def test_blocks_are_all_cells_in_order(expression):
    blocks = [sp.csr_matrix(block.astype(np.float32)).toarray() for block in row_blocks(expression)]
    np.testing.assert_array_equal(np.concatenate(blocks), VALUES)


def test_sums_are_those_of_the_whole(expression):
    of_cells, of_genes = sum_expression(expression)
    np.testing.assert_array_equal(of_cells, VALUES.sum(1))
    np.testing.assert_array_equal(of_genes, VALUES.sum(0))


def test_half_precision_does_not_overflow():
    of_cells, _ = sum_expression(np.full((2, 100), 2000.0, np.float16))
    assert of_cells.tolist() == [200_000.0, 200_000.0]
