from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scvi

from scgim.datasets._genes_world import GenesWorld
from scgim.model import GIM, GraphSearch

DRUGS = ("drug_a", "drug_b", "drug_c", "drug_d", "drug_e")
DOSES = (0.1, 1.0, 10.0, 100.0)
N_GENES = 24
N_EPOCHS = 60
SETUP = {
    "perturbation_key": "drug",
    "control": "vehicle",
    "dose_key": "dose",
    "features_key": "drug_features",
}


def make_screen(seed=0, *, drugs=DRUGS, doses=DOSES, combination=True, n_control=60, n_cells=5):
    """Three programs of eight genes; every drug moves one of them along a Hill curve."""
    rng = np.random.default_rng(seed)
    design = [("vehicle", 0.0)] * n_control
    design += [(drug, dose) for drug in drugs for dose in doses for _ in range(n_cells)]
    if combination:
        pair = "+".join(drugs[:2])
        design += [(pair, dose) for dose in doses[-2:] for _ in range(n_cells)]
    obs = pd.DataFrame(
        design, columns=["drug", "dose"], index=[f"c{i}" for i in range(len(design))]
    )
    obs["drug"] = obs.drug.astype("category")
    obs["lane"] = pd.Categorical(rng.choice(["lane_1", "lane_2"], len(obs)))
    obs["donor"] = pd.Categorical(rng.choice(["x", "y", "z"], len(obs)))
    obs["age"] = rng.normal(size=len(obs))
    nodes = rng.normal(size=(len(obs), 3))
    for cell, (label, dose) in enumerate(design):
        for part in label.split("+"):
            if part in drugs:
                nodes[cell, drugs.index(part) % 3] += 3 * dose / (dose + 1)
    rates = np.exp(0.5 * nodes.repeat(N_GENES // 3, 1) + rng.normal(size=N_GENES) * 0.3)
    counts = rng.poisson(400 * rates / rates.sum(1, keepdims=True)).astype(np.float32)
    adata = ad.AnnData(sp.csr_matrix(counts), obs=obs)
    adata.var_names = [f"gene_{i}" for i in range(N_GENES)]
    names = [*drugs, "drug_x", "drug_y"]
    features = rng.normal(size=(len(names), 4)) + 2 * np.eye(3, 4)[np.arange(len(names)) % 3]
    adata.uns["drug_features"] = pd.DataFrame(
        features, index=names, columns=[f"descriptor_{i}" for i in range(4)]
    )
    return adata


def fit(adata, *, setup=None, model=None, max_epochs=1, fix_gauge=False, **train):
    """Set up and train for a moment."""
    GIM.setup_anndata(adata, **(SETUP | (setup or {})))
    gim = GIM(adata, **({"n_nodes": 3, "n_hidden": 16, "n_layers": 1} | (model or {})))
    train = {"accelerator": "cpu", "batch_size": 64, "enable_progress_bar": False} | train
    gim.train(max_epochs, fix_gauge=fix_gauge, **train)
    return gim


def same(left, right):
    """Whether two AnnData hold the same, scvi's own entries aside."""
    assert_frame = pd.testing.assert_frame_equal
    own = [column for column in right.obs if not column.startswith("_scvi")]
    assert_frame(left.obs, right.obs[own])
    assert_frame(left.var, right.var)
    dense = [x.toarray() if sp.issparse(x) else np.asarray(x) for x in (left.X, right.X)]
    np.testing.assert_array_equal(*dense)
    assert left.X.dtype == right.X.dtype
    assert type(left.X) is type(right.X)
    assert set(left.uns) == {key for key in right.uns if not key.startswith("_scvi")}
    assert_frame(left.uns["drug_features"], right.uns["drug_features"])
    assert set(left.obsm) == {key for key in right.obsm if not key.startswith("_scvi")}
    assert set(left.layers) == set(right.layers)


@pytest.fixture(scope="session")
def screen():
    return make_screen()


@pytest.fixture
def adata(screen):
    return screen.copy()


@pytest.fixture(scope="session")
def make():
    return make_screen


@pytest.fixture(scope="session")
def trained():
    """Function that sets up a screen and trains on it for a moment."""
    return fit


@pytest.fixture(scope="session")
def assert_same():
    return same


@pytest.fixture(scope="session")
def model(screen):
    """Model after some epochs, generator, calibration and gauge included. Do not change it."""
    return fit(screen.copy(), max_epochs=N_EPOCHS, fix_gauge=True)


@pytest.fixture(scope="session")
def plain_model(make):
    """Model of a screen without doses, features, batches and combinations."""
    adata = make(1, doses=(100.0,), combination=False, n_cells=12)
    del adata.uns["drug_features"]
    return fit(adata, setup={"dose_key": None, "features_key": None})


@pytest.fixture(scope="session")
def covariate_model(make):
    """Model with batches, covariates, size factors and shifted node baselines."""
    adata = make(2)
    adata.obs["size"] = np.asarray(adata.X.sum(1)).ravel() * np.where(
        np.arange(adata.n_obs) % 2, 0.5, 2.0
    )
    setup = {
        "batch_key": "lane",
        "categorical_covariate_keys": ["donor"],
        "continuous_covariate_keys": ["age"],
        "size_factor_key": "size",
    }
    return fit(adata, setup=setup, model={"covariates_shift_nodes": True}, max_epochs=3)


GENES_SETUP = SETUP
N_NAMED = 8


def fit_genes(adata, *, setup=None, search=None, **model):
    """Set up and search named genes with few restarts."""
    GIM.setup_anndata(adata, **(GENES_SETUP | (setup or {})))
    options = {"causal_space": "genes", "gene_likelihood": "normal"} | model
    gim = GIM(adata, **options)
    search = GraphSearch(n_restarts=6) if search is None else search
    before = scvi.settings.seed
    scvi.settings.seed = 0
    try:
        gim.train(search=search, enable_progress_bar=False)
    finally:
        scvi.settings.seed = before
    return gim


@pytest.fixture(scope="session")
def genes_world():
    """World G of eight genes, sixteen drugs and four unseen ones."""
    return GenesWorld(
        seed=1, n_nodes=N_NAMED, n_drugs=16, n_unseen=4, n_control=400, n_cells=40, graph="er1"
    )


@pytest.fixture(scope="session")
def genes_screen(genes_world):
    return genes_world.screen()


@pytest.fixture(scope="session")
def train_genes():
    """Function that sets up a screen and fits named genes."""
    return fit_genes


@pytest.fixture(scope="session")
def genes_model(genes_screen):
    """Fitted causal model of named genes. Do not change it."""
    return fit_genes(genes_screen.copy())


@pytest.fixture(scope="session")
def mixed_world():
    """World G in which every other drug clamps its targets."""
    return GenesWorld(
        seed=1,
        n_nodes=N_NAMED,
        n_drugs=16,
        n_unseen=0,
        n_control=400,
        n_cells=40,
        graph="er1",
        intervention="mixed",
    )


@pytest.fixture(scope="session")
def mixed_model(mixed_world):
    return fit_genes(mixed_world.screen(), intervention="auto")


def make_gene_counts(seed=0, n_cells=400):
    """Counts of a chain a → b → c and five other genes; each knock-out takes one gene away."""
    rng = np.random.default_rng(seed)
    genes = ["a", "b", "c", *[f"other_{i}" for i in range(5)]]
    design = ["control"] * (2 * n_cells) + [f"ko_{g}" for g in genes[:5] for _ in range(n_cells)]
    shift = np.zeros((len(design), len(genes)))
    for cell, label in enumerate(design):
        if label != "control":
            shift[cell, genes.index(label.removeprefix("ko_"))] = -2.0
    z = rng.normal(size=shift.shape) * 0.4 + shift
    z[:, 1] += 0.9 * z[:, 0]
    z[:, 2] += 0.9 * z[:, 1]
    batch = rng.integers(0, 2, len(design))
    z[:, 3] += 0.5 * batch
    size = rng.lognormal(0, 0.3, len(design))
    counts = rng.poisson(size[:, None] * np.exp(1.5 + z)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "drug": pd.Categorical(design),
            "lane": pd.Categorical(np.where(batch, "lane_2", "lane_1")),
            "size": 1000 * size,
        },
        index=[f"c{i}" for i in range(len(design))],
    )
    return ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=genes))


@pytest.fixture(scope="session")
def gene_counts():
    return make_gene_counts()


COUNTS_SETUP = {
    "control": "control",
    "dose_key": None,
    "features_key": None,
    "batch_key": "lane",
    "size_factor_key": "size",
}


@pytest.fixture(scope="session")
def counts_setup():
    return COUNTS_SETUP


@pytest.fixture(scope="session")
def counts_model(gene_counts):
    """Named genes fitted to counts with batches and size factors."""
    return fit_genes(gene_counts.copy(), setup=COUNTS_SETUP, gene_likelihood="nb")
