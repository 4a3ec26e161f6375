import numpy as np

from scgim.spaces._named_nodes_fit import AMBIGUOUS


def test_each_gene_is_its_own_program(genes_model):
    fit = genes_model.fitted
    np.testing.assert_array_equal(fit.gene_programs(), np.eye(len(fit.node_names)))
    np.testing.assert_array_equal(fit.control_sd(), 1.0)


def test_edges_of_middling_probability_are_ambiguous(genes_model):
    fit = genes_model.fitted
    probability = fit.edge_probability()
    is_open = (probability > AMBIGUOUS[0]) & (probability < AMBIGUOUS[1])
    np.testing.assert_array_equal(fit.edge_ambiguity(), is_open)


def test_other_cells_change_intervals_and_not_targets(genes_model):
    fit = genes_model.fitted
    again = genes_model.space.refit(fit, genes_model._batches(2048))
    assert again.named_nodes is fit.named_nodes
    np.testing.assert_allclose(
        again.calibration["seen"]["quantiles"], fit.calibration["seen"]["quantiles"]
    )
