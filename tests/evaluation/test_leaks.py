import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from scgim.datasets import ProgramsWorld
from scgim.evaluation import TrainingScreen, find_leaks, find_overlaps, split


@pytest.fixture(scope="module")
def adata():
    world = ProgramsWorld(1, n_genes=60, n_control=60, n_cells=4, n_unseen=0, n_sums=0)
    return world.screen()


@pytest.fixture(scope="module")
def held_out(adata):
    return split(adata, "perturbation", fraction=0.3, seed=0)


def training_of(adata):
    return adata[adata.obs["split"] == "training"].copy()


def log_expression(adata):
    adata = adata.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata


def leaking_parts(prepare, adata, held_out):
    found = find_leaks(prepare, adata, held_out)
    return set(found.loc[found["leaks"], "part"])


def clean(adata):
    """Choose genes, scale and find components on training cells, apply them to all."""
    everything = log_expression(adata)
    training = everything[everything.obs["split"] == "training"].copy()
    variance = np.asarray(training.X.todense()).var(axis=0)
    genes = np.sort(np.argsort(-variance)[:30])
    scaler = StandardScaler().fit(training[:, genes].X.toarray())
    pca = PCA(5, random_state=0, svd_solver="full").fit(
        scaler.transform(training[:, genes].X.toarray())
    )
    prepared = everything[:, genes].copy()
    prepared.layers["scaled"] = scaler.transform(prepared.X.toarray())
    prepared.obsm["X_pca"] = pca.transform(prepared.layers["scaled"])
    prepared.varm["PCs"] = pca.components_.T
    features = prepared.uns["drug_features"]
    seen = [drug for drug in features.index if drug in set(training.obs["drug"])]
    prepared.uns["drug_features"] = (features - features.loc[seen].mean()) / features.loc[
        seen
    ].std()
    return prepared


def test_preparation_on_training_cells_has_no_leak(adata, held_out):
    found = find_leaks(clean, adata, held_out)
    assert not found["leaks"].any()
    assert {
        "var_names",
        "X",
        "layers/scaled",
        "obsm/X_pca",
        "varm/PCs",
        "uns/drug_features",
    } <= set(found["part"])
    assert (found["note"] == "").all()


def test_gene_choice_on_all_cells_is_caught(adata, held_out):
    def prepare(screen):
        variance = np.asarray(log_expression(screen).X.todense()).var(axis=0)
        return training_of(screen)[:, np.sort(np.argsort(-variance)[:30])]

    assert "var_names" in leaking_parts(prepare, adata, held_out)


def test_scaling_on_all_cells_is_caught(adata, held_out):
    def prepare(screen):
        screen = log_expression(screen)
        scaled = StandardScaler().fit_transform(screen.X.toarray())
        return {"scaled": scaled[(screen.obs["split"] == "training").to_numpy()]}

    assert leaking_parts(prepare, adata, held_out) == {"scaled"}


def test_components_of_all_cells_are_caught(adata, held_out):
    def prepare(screen):
        screen = log_expression(screen)
        screen.varm["PCs"] = PCA(5, svd_solver="full").fit(screen.X.toarray()).components_.T
        return training_of(screen)

    assert leaking_parts(prepare, adata, held_out) == {"varm/PCs"}


def test_features_standardised_on_all_perturbations_are_caught(adata, held_out):
    def prepare(screen):
        features = screen.uns["drug_features"]
        screen.uns["drug_features"] = (features - features.mean()) / features.std()
        return training_of(screen)

    assert leaking_parts(prepare, adata, held_out) == {"uns/drug_features"}


def test_own_training_screen_has_no_leak(adata, held_out):
    found = find_leaks(lambda screen: TrainingScreen(training_of(screen)), adata, held_out)
    assert not found["leaks"].any()
    assert {"pca", "features"} <= set(found["part"])


def test_what_depends_on_chance_is_said_to_be_so(adata, held_out):
    rng = np.random.default_rng(0)
    found = find_leaks(lambda screen: rng.normal(size=screen.n_vars), adata, held_out)
    assert found["part"].tolist() == ["result"]
    assert not found["leaks"].any()
    assert found["note"].str.contains("differs from run to run").all()


def test_screen_is_left_alone(adata, held_out):
    before, features = adata.X.copy(), adata.uns["drug_features"].copy()
    find_leaks(clean, adata, held_out)
    assert (before != adata.X).nnz == 0
    assert "split" not in adata.obs
    pd.testing.assert_frame_equal(adata.uns["drug_features"], features)


def test_copied_cells_and_one_molecule_under_two_names_are_found(adata, held_out):
    assert find_overlaps(adata, held_out).empty
    other = adata.copy()
    is_held_out = held_out.is_held_out(other)
    source, target = np.flatnonzero(is_held_out)[3], np.flatnonzero(~is_held_out)[5]
    dense = other.X.toarray()
    dense[target] = dense[source]
    other.X = dense
    unseen = held_out.held_out["drug"].iloc[0]
    seen = next(name for name in other.obs["drug"].unique() if name != "vehicle" and name not in
                set(held_out.held_out["drug"]))  # fmt: skip
    features = other.uns["drug_features"].copy()
    features.loc[unseen] = features.loc[seen]
    other.uns["drug_features"] = features
    overlaps = find_overlaps(other, held_out).set_index("overlap")
    assert overlaps.loc["same cell", "examples"] == [
        (other.obs_names[source], other.obs_names[target])
    ]
    assert overlaps.loc["same features", "examples"] == [(unseen, seen)]
