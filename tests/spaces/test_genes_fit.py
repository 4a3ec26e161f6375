import numpy as np

from scgim.model import GraphSearch
from scgim.spaces._genes_data import GenesData
from scgim.spaces._genes_fit import count_buffers


def test_a_screen_without_effects_has_no_targets(genes_screen, train_genes):
    adata = genes_screen[genes_screen.obs.drug == "vehicle"].copy()
    rng = np.random.default_rng(0)
    names = genes_screen.uns["drug_features"].index[:6]
    label = np.where(np.arange(adata.n_obs) < 160, "vehicle", rng.choice(names, adata.n_obs))
    adata.obs["drug"] = label
    adata.obs["dose"] = (label != "vehicle").astype(float)
    model = train_genes(adata)
    targets = model.get_intervention_targets()
    assert targets.is_target.mean() < 0.05
    assert np.abs(model.predict_shift([(names[0], 1.0)]).X).max() < 0.3


def test_drawn_counts_have_the_mean_and_spread_of_real_ones(counts_model):
    loader = counts_model._make_data_loader(adata=counts_model.adata, batch_size=512)
    data = GenesData.collect(counts_model.module, counts_model.screen, loader)
    median = float(counts_model.module.median_library)
    nodes = np.random.default_rng(0).normal(size=(4000, 8)) * 0.5
    found = count_buffers(data, nodes, median)
    assert np.abs(found["log_correction"]).max() < 0.5
    assert (found["log_theta"] > 0).all()


def test_known_targets_are_called(train_genes, gene_counts, counts_setup):
    search = GraphSearch(n_restarts=1, known_targets={"ko_a": "other_4"})
    model = train_genes(
        gene_counts.copy(), setup=counts_setup, gene_likelihood="poisson", search=search
    )
    targets = model.get_intervention_targets(["ko_a"]).set_index("node")
    assert targets.is_target["other_4"]
    assert targets.probability["other_4"] > 0.999
