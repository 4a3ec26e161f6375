import numpy as np
import pytest

from scgim._validation._genes import (
    check_are_nodes,
    check_are_perturbations,
    check_count_options,
    check_edge_table,
    check_gene_nodes,
    check_gradient_world,
    check_no_minibatches,
    check_no_search,
    check_node_number,
    check_nodes_vary,
    check_prior_edges,
    check_space_options,
    raise_cannot_map,
    raise_cannot_minify,
    warn_if_graph_explains_nothing,
    warn_if_stopped,
    warn_if_targets_agree,
)

NAMES = ["STAT1", "JAK2", "IRF1"]


def edges(*pairs):
    matrix = np.zeros((3, 3), dtype=bool)
    for pair in pairs:
        matrix[pair] = True
    return matrix


def draw():
    return np.random.default_rng(0).standard_normal((50, 3))


def test_reasonable_data_pass():
    check_node_number(20, 1000, 300)
    check_nodes_vary(draw(), NAMES)
    check_prior_edges(edges((0, 1)), edges((1, 2)), NAMES)
    check_are_nodes("known_targets", ["JAK2"], NAMES)
    check_gradient_world("linear", "shift")


def test_too_many_nodes_are_told_what_to_do():
    with pytest.raises(ValueError, match=r"2,000 nodes, .*at most 300.*causal_space='programs'"):
        check_node_number(2000, 10_000, 300)


def test_fewer_cells_than_nodes_are_counted():
    with pytest.raises(ValueError, match="30 cells for 40 nodes"):
        check_node_number(40, 30, 300)


def test_constant_gene_is_named():
    values = draw()
    values[:, 1] = 4.0
    with pytest.raises(ValueError, match="'JAK2' do not vary"):
        check_nodes_vary(values, NAMES)


def test_collinear_genes_are_named_and_others_are_not():
    values = draw()
    values[:, 2] = 3 * values[:, 0] + 1
    with pytest.raises(ValueError, match="perfectly collinear") as error:
        check_nodes_vary(values, NAMES)
    assert "'STAT1'" in str(error.value)
    assert "'IRF1'" in str(error.value)
    assert "JAK2" not in str(error.value)


def test_edge_both_required_and_forbidden_is_named():
    with pytest.raises(ValueError, match="'STAT1 → JAK2' are both required and forbidden"):
        check_prior_edges(edges((0, 1)), edges((0, 1)), NAMES)


def test_required_cycle_is_named():
    with pytest.raises(ValueError, match="close a cycle through 'STAT1', 'JAK2'"):
        check_prior_edges(edges(), edges((0, 1), (1, 0)), NAMES)


def test_known_target_that_is_no_node_is_named_with_the_closest():
    with pytest.raises(ValueError, match=r"`known_targets` names 'STAT2'.*closest.*STAT1"):
        check_are_nodes("known_targets", ["STAT2"], NAMES)


@pytest.mark.parametrize("world", [("mlp", "shift"), ("linear", "hard")])
def test_other_worlds_are_refused_with_what_to_do(world):
    with pytest.raises(ValueError, match=r"knows linear mechanisms and shifts only\. Leave"):
        check_gradient_world(*world)


def test_same_targets_everywhere_are_warned_of():
    with pytest.warns(UserWarning, match=r"All 2 perturbations have the same targets \('JAK2'\)"):
        warn_if_targets_agree(np.array([[0, 1, 0], [0, 1, 0]], dtype=bool), NAMES)
    warn_if_targets_agree(np.array([[0, 1, 0], [1, 1, 0]], dtype=bool), NAMES)


def test_stopped_search_is_said_to_keep_the_best():
    with pytest.warns(UserWarning, match="stopped after 3 of 41 climbs"):
        warn_if_stopped(3, 40, was_stopped=True)
    warn_if_stopped(41, 40, was_stopped=False)


DEFAULTS = {"mechanism": "linear", "intervention": "shift", "structure": "search"}
OTHERS = {"dose_response": "hill", "n_hidden": 128}


def test_options_of_named_genes_are_for_named_genes():
    check_space_options("genes", genes=DEFAULTS | {"mechanism": "mlp"}, others=OTHERS)
    message = (
        r"^`mechanism='mlp'` is an option of the causal spaces 'genes' only, but "
        r"`causal_space='programs'`\. Leave it out, or choose another causal space\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_space_options("programs", genes=DEFAULTS | {"mechanism": "mlp"}, others=OTHERS)


def test_options_of_latent_spaces_are_not_for_named_genes():
    check_space_options("latent", genes=DEFAULTS, others=OTHERS | {"n_hidden": 64})
    message = (
        r"^`n_hidden=64` is an option of the causal spaces 'programs' and 'latent' only, but "
        r"`causal_space='genes'`\. Leave it out, or choose another causal space\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_space_options("genes", genes=DEFAULTS, others=OTHERS | {"n_hidden": 64})


def test_kinds_that_do_not_exist_are_named():
    message = (
        r"^`intervention='soft'` is not a choice\. Choose one of \['shift', 'hard', 'auto'\]\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_space_options("genes", genes=DEFAULTS | {"intervention": "soft"}, others=OTHERS)


def test_the_number_of_named_genes_is_that_of_the_data():
    check_gene_nodes(None, 20, "normal")
    check_gene_nodes(20, 20, "nb")
    message = (
        r"^`n_nodes=5`, but with `causal_space='genes'` the 20 genes of the data are the nodes\. "
        r"Leave `n_nodes` out, and choose genes with `adata\[:, genes\]`\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_gene_nodes(5, 20, "normal")


def test_named_genes_have_no_zero_inflation():
    message = (
        r"^`gene_likelihood='zinb'` is not available with `causal_space='genes'`, whose nodes are "
        r"freed of counting noise\. Choose 'nb' or 'poisson' for counts, or 'normal'\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_gene_nodes(None, 20, "zinb")


def test_a_search_is_for_named_genes():
    check_no_search(None, "programs")
    message = (
        r"^`search` says how to find a graph of named genes, but this model has "
        r"`causal_space='programs'`\. Leave it out, or build the model with "
        r"`causal_space='genes'`\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_no_search(object(), "programs")


def test_named_genes_have_no_epochs():
    check_no_minibatches([])
    message = (
        r"^`GIM\.train` got 'max_epochs', 'plan_kwargs', but with `causal_space='genes'` the model "
        r"is fitted in closed form and has no epochs\. Leave them out; "
        r"`search=scgim\.model\.GraphSearch\(\.\.\.\)` says how to search the graph\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_no_minibatches(["plan_kwargs", "max_epochs"])


def test_edges_are_tables_or_pairs():
    check_edge_table("edges", columns=["source", "target", "weight"])
    check_edge_table("edges", pairs=[("a", "b")])
    message = (
        r"^`search\.edges` has no column 'target'; its columns are \['source', 'to'\]\. Edges are a "
        r"DataFrame with the columns 'source' and 'target', or pairs\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_edge_table("edges", columns=["source", "to"])
    message = (
        r"^`search\.edges` has \('a',\), which is not a pair \(source, target\)\. Edges are a "
        r"DataFrame with the columns 'source' and 'target', or pairs\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_edge_table("edges", pairs=[("a", "b"), ("a",)])


def test_known_targets_belong_to_perturbations_of_the_screen():
    check_are_perturbations("search.known_targets", ["ko_a"], ["ko_a", "ko_b"])
    message = (
        r"^`search\.known_targets` names 'ko_c', which the screen did not run\. The perturbations "
        r"closest to 'ko_c' are \['ko_b', 'ko_a'\]\. Correct the names, or leave them out\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_are_perturbations("search.known_targets", ["ko_c"], ["ko_a", "ko_b"])


@pytest.mark.parametrize(
    ("mechanism", "structure", "found"),
    [("mlp", "search", "mechanism='mlp'"), ("linear", "gradient", "structure='gradient'")],
)
def test_counts_leave_the_covariance_only(mechanism, structure, found):
    check_count_options(mechanism, structure, "normal")
    message = (
        rf"^`{found}` reads every cell, but in counts most of the variance of a gene is counting "
        r"noise, and only the covariance can be freed of it\. Leave it out, or pass transformed "
        r"expression with `gene_likelihood='normal'`\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_count_options(mechanism, structure, "nb")


def test_named_genes_cannot_be_mapped():
    message = (
        r"^A model with `causal_space='genes'` cannot be mapped on new cells: it is fitted in closed "
        r"form, from all cells at once\. Train a new model on the old and the new cells together, or "
        r"predict with this one\.$"
    )
    with pytest.raises(ValueError, match=message):
        raise_cannot_map()


def test_named_genes_cannot_be_minified():
    message = (
        r"^The cells of a model with `causal_space='genes'` cannot be minified: its nodes are the "
        r"genes themselves, so there is no smaller posterior to keep\. `GIM\.save` without AnnData is "
        r"enough for predictions\.$"
    )
    with pytest.raises(ValueError, match=message):
        raise_cannot_minify()


@pytest.mark.parametrize(
    ("explained", "words"), [(0.12, r"0\.12 of it"), (-np.inf, "too little shift to say")]
)
def test_a_graph_that_explains_nothing_ranks_no_targets(explained, words):
    warn_if_graph_explains_nothing(0.8, uses_graph=True)
    message = (
        rf"^On held-out cells genes do not demonstrably explain the shifts of other genes \({words}\), "
        r"so `evidence` ranks targets by how much a gene moved, not by how much it moved by itself\. "
        r"Read the columns `marginal` and `residual` of `get_intervention_targets`\.$"
    )
    with pytest.warns(UserWarning, match=message):
        warn_if_graph_explains_nothing(explained, uses_graph=False)
