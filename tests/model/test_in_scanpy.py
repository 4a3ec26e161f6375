"""What the model returns goes straight into scanpy, and what it writes is read without scgim."""

import json
import subprocess
import sys

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scanpy as sc

DRUGS = ("drug_a", "drug_b", "drug_c")
# A program of the simulated cells is eight genes, and each drug moves one of them.
GENES = {"drug_a": "gene_0", "drug_b": "gene_8", "drug_c": "gene_16"}
# scanpy still calls a function that Matplotlib will deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:The set_bad function:PendingDeprecationWarning")
READ = """
import builtins, json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"scgim", "scvi", "torch"}:
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import anndata
adata = anndata.read_h5ad(sys.argv[1])
found = adata.uns["gim"]
print(json.dumps({
    "obsm": {key: list(value.shape) for key, value in adata.obsm.items()},
    "layers": list(adata.layers),
    "tables": {key: list(table.columns) for key, table in found.items() if key != "settings"},
    "perturbations": sorted(set(found["targets"]["perturbation"].astype(str))),
    "settings": {key: str(value) for key, value in found["settings"].items()},
    "imported": [name for name in ("scgim", "scvi", "torch") if name in sys.modules],
}))
"""


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def annotated(model, screen):
    adata = screen.copy()
    model.annotate(adata, layer=True)
    return adata


@pytest.fixture(scope="module")
def predicted(model):
    conditions = [("vehicle", 0.0), *[(drug, 100.0) for drug in DRUGS]]
    return model.predict(conditions, n_cells=40, seed=0)


@pytest.fixture(scope="module")
def normalized(predicted):
    cells = predicted.copy()
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    return cells


def test_predicted_cells_rank_their_own_genes(normalized):
    sc.tl.rank_genes_groups(normalized, "drug", reference="vehicle", method="t-test")
    for drug, first in GENES.items():
        top = sc.get.rank_genes_groups_df(normalized, drug)["names"].head(8)
        start = int(first.removeprefix("gene_"))
        expected = {f"gene_{gene}" for gene in range(start, start + 8)}
        assert len(expected & set(top)) >= 7
    sc.pl.rank_genes_groups(normalized, n_genes=5, show=False)


def test_predicted_cells_are_drawn_by_perturbation(normalized):
    genes = list(GENES.values())
    matrix = sc.pl.matrixplot(normalized, genes, groupby="drug", return_fig=True)
    assert list(matrix.values_df.columns) == genes
    for drug, gene in GENES.items():
        assert matrix.values_df[gene].idxmax() == drug
    dots = sc.pl.dotplot(normalized, genes, groupby="drug", return_fig=True)
    assert set(dots.dot_size_df.index) == {"vehicle", *DRUGS}
    for figure in (matrix, dots):
        figure.make_figure()
        figure.fig.canvas.draw()


def test_predicted_cells_are_drawn_as_violins(normalized):
    ax = sc.pl.violin(normalized, "gene_0", groupby="drug", show=False)
    assert {label.get_text() for label in ax.get_xticklabels()} == {"vehicle", *DRUGS}
    ax.figure.canvas.draw()


def test_predicted_cells_join_the_observed_ones(predicted, screen):
    both = ad.concat({"observed": screen, "predicted": predicted}, label="source")
    assert both.n_obs == screen.n_obs + predicted.n_obs
    assert list(both.var_names) == list(screen.var_names)
    assert both.obs["dose"].notna().all()
    sc.pp.normalize_total(both, target_sum=1e4)
    sc.pp.log1p(both)
    sc.pp.pca(both, n_comps=3)
    ax = sc.pl.embedding(both, "pca", color="source", show=False)
    ax.figure.canvas.draw()


def test_nodes_are_an_embedding(annotated):
    sc.pp.neighbors(annotated, use_rep="X_gim", n_neighbors=5)
    ax = sc.pl.embedding(annotated, "X_gim", color="drug", show=False)
    drawn = np.vstack([np.asarray(points.get_offsets()) for points in ax.collections[:1]])
    assert {tuple(row) for row in drawn} == {tuple(row[:2]) for row in annotated.obsm["X_gim"]}
    ax.figure.canvas.draw()


def test_predicted_expression_is_a_layer_for_figures(annotated):
    treated = annotated[annotated.obs["drug"].isin(["vehicle", *DRUGS])].copy()
    treated = treated[(treated.obs["dose"] == 0) | (treated.obs["dose"] == 100)].copy()
    figure = sc.pl.matrixplot(
        treated, list(GENES.values()), groupby="drug", layer="gim_predicted", return_fig=True
    )
    for drug, gene in GENES.items():
        assert figure.values_df[gene].idxmax() == drug


def test_annotation_is_read_where_scgim_is_not_installed(annotated, tmp_path):
    path = tmp_path / "annotated.h5ad"
    annotated.write_h5ad(path)
    run = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, check=True, text=True
    )
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["imported"] == []
    assert found["obsm"]["X_gim"] == [annotated.n_obs, 3]
    assert found["obsm"]["gim_predicted"] == list(annotated.shape)
    assert "gim_predicted" in found["layers"]  # anndata 0.13 lists X as None
    assert set(found["tables"]) == set(annotated.uns["gim"]) - {"settings"}
    for name, columns in found["tables"].items():
        assert columns == list(annotated.uns["gim"][name].columns)
    assert set(DRUGS) < set(found["perturbations"])
    assert found["settings"]["control"] == "vehicle"
    assert np.isfinite(float(found["settings"]["n_nodes"]))
