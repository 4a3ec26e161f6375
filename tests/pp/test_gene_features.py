import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scgim.pp import gene_features


@pytest.fixture
def screen(make_screen):
    adata = make_screen(knockout=["NT"] * 200 + ["gene_1", "gene_2+gene_3"])
    rng = np.random.default_rng(1)
    adata.X[:, :4] = rng.poisson(20.0 * rng.gamma(3.0, 0.3, (adata.n_obs, 1)), (adata.n_obs, 4))
    return adata


@pytest.fixture
def embedding():
    return pd.DataFrame(
        {"x": [1.0, 2.0, 3.0], "go:y": [0, 1, 0]}, index=["gene_1", "gene_2", "gene_3"]
    )


def test_embedding_rows_become_features_of_each_perturbed_gene(screen, embedding):
    table = gene_features(screen, "knockout", control="NT", embedding=embedding)
    assert list(table.index) == ["gene_1", "gene_2", "gene_3"]
    assert list(table.columns) == ["embedding:x", "go:y"]
    assert table["embedding:x"].tolist() == [1.0, 2.0, 3.0]
    pd.testing.assert_frame_equal(screen.uns["perturbation_features"], table)


def test_loadings_reproduce_the_covariance_of_control_cells(screen):
    genes = list(screen.var_names)
    table = gene_features(screen, "knockout", control="NT", genes=genes, n_components=19)
    control = screen[:200].X
    expression = np.log1p(1e4 * control / control.sum(axis=1, keepdims=True))
    loadings = table.loc[genes].to_numpy()
    covariance = np.cov(expression.T)
    np.testing.assert_allclose(loadings @ loadings.T, covariance, atol=0.02 * covariance.max())


def test_genes_that_vary_together_have_similar_features(screen):
    table = gene_features(screen, "knockout", control="NT", genes=["gene_9"], n_components=2)
    together = np.linalg.norm(table.loc["gene_1"] - table.loc["gene_2"])
    assert together < 0.3 * np.linalg.norm(table.loc["gene_1"] - table.loc["gene_9"])


def test_perturbed_cells_do_not_enter_the_loadings(screen):
    before = gene_features(screen, "knockout", control="NT", n_components=3)
    screen.X[200:] = 50.0
    pd.testing.assert_frame_equal(
        gene_features(screen, "knockout", control="NT", n_components=3), before
    )


def test_sparse_counts_in_a_layer_give_the_same(screen):
    dense = gene_features(screen, "knockout", control="NT", n_components=3)
    screen.layers["counts"] = sp.csr_matrix(screen.X)
    screen.X = np.zeros_like(screen.X)
    sparse = gene_features(screen, "knockout", control="NT", n_components=3, layer="counts")
    np.testing.assert_allclose(dense, sparse, atol=1e-6)


def test_table_survives_a_file(screen, tmp_path):
    gene_features(screen, "knockout", control="NT", n_components=3, key_added="genes")
    screen.write_h5ad(tmp_path / "screen.h5ad")
    assert ad.read_h5ad(tmp_path / "screen.h5ad").uns["genes"].shape == (3, 3)


def test_perturbed_gene_that_is_not_measured_is_named(screen):
    screen.obs["knockout"] = screen.obs["knockout"].replace("gene_1", "GENE_1")
    message = r"1 perturbed genes are not in `adata.var_names`: 'GENE_1'.*\['gene_1'.*`embedding`"
    with pytest.raises(ValueError, match=message):
        gene_features(screen, "knockout", control="NT", n_components=3)
    assert not screen.uns


def test_gene_without_embedding_is_named(screen, embedding):
    with pytest.raises(ValueError, match="not in the index of `embedding`: 'gene_3'"):
        gene_features(screen, "knockout", control="NT", embedding=embedding.iloc[:2])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda table: pd.concat([table, table.iloc[:1]]), "several rows for 'gene_1'"),
        (lambda table: table.assign(x="text"), "columns that are not numbers: 'x'"),
        (lambda table: table.replace(2.0, np.nan), "missing or infinite numbers for 'gene_2'"),
        (lambda table: table.iloc[:0], "no rows"),
    ],
)
def test_unusable_embedding_says_why(screen, embedding, change, found):
    with pytest.raises(ValueError, match=f"`embedding` has {found}. Expected one row of finite"):
        gene_features(screen, "knockout", control="NT", embedding=change(embedding))


def test_more_components_than_the_data_have_is_refused(screen):
    message = r"`n_components=32` does not fit 200 control cells and 20 genes.*between 1 and 19"
    with pytest.raises(ValueError, match=message):
        gene_features(screen, "knockout", control="NT")


def test_unknown_layer_and_control_are_named(screen):
    with pytest.raises(ValueError, match=r"`layer='counts'` is not in `adata.layers`"):
        gene_features(screen, "knockout", control="NT", layer="counts")
    with pytest.raises(ValueError, match=r"`control='nt'` does not occur.*\['NT'"):
        gene_features(screen, "knockout", control="nt")


def test_knock_outs_of_a_real_screen_get_features(real_data):
    adata = ad.read_h5ad(real_data / "papalexi2021_sub299.h5ad")
    label = str(adata.obs.loc[adata.obs["is_control"].astype(bool), "perturbation"].iloc[0])
    names = adata.obs["perturbation"].astype(str)
    adata.obs["measured"] = names.where(names.isin(adata.var_names), label)
    table = gene_features(adata, "measured", control=label, n_components=10)
    assert table.shape == (9, 10)
    assert np.isfinite(table.to_numpy()).all()
