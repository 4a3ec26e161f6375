import re

import numpy as np
import pytest
from fixtures.mechanisms import Saturating

from scgim.model._checks import check_space_options
from scgim.scm import LinearMechanism, MLPMechanism
from scgim.spaces._checks import (
    check_count_options,
    check_gene_nodes,
    check_no_minibatches,
    check_node_number,
    check_nodes_vary,
    check_profiles,
)
from scgim.spaces._genes_space import raise_cannot_map, raise_cannot_minify

NAMES = ["STAT1", "JAK2", "IRF1"]


def draw():
    return np.random.default_rng(0).standard_normal((50, 3))


def test_reasonable_data_pass():
    check_node_number(20, 1000, 300)
    check_nodes_vary(draw(), NAMES)


def test_too_many_nodes_are_told_what_to_do():
    with pytest.raises(ValueError, match=r"2,000 nodes, .*at most 300.*causal_space='programs'"):
        check_node_number(2000, 10_000, 300)


def test_fewer_cells_than_nodes_are_counted():
    with pytest.raises(ValueError, match="30 cells for 40 nodes"):
        check_node_number(40, 30, 300)


def test_single_profiles_need_known_targets_or_a_given_graph():
    groups = [("ko_STAT1",), ("ko_JAK2",)]
    known = np.array([[1, 0, 0], [0, 1, 0]])
    check_profiles(known, "search", groups)
    is_open = np.array([[1, 0, 0], [-1, 1, -1]])
    check_profiles(is_open, "given", groups)
    message = (
        "Every condition of the screen has one row, so nothing tells the noise of a gene from what a "
        "perturbation does to it, and a graph can be searched only where all targets are known: those "
        "of 'ko_JAK2' are not. Pass `search=GraphSearch(known_targets=..., has_off_targets=False)` to "
        "`GIM.train`, or add replicates. To rank targets without a graph, use `GIM(..., "
        "structure='given')` with `GraphSearch(required=[])`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_profiles(is_open, "search", groups)


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


def test_named_genes_have_no_epochs():
    check_no_minibatches([])
    message = (
        r"^`GIM\.train` got 'max_epochs', 'plan_kwargs', but with `causal_space='genes'` the model "
        r"is fitted in closed form and has no epochs\. Leave them out; "
        r"`search=scgim\.model\.GraphSearch\(\.\.\.\)` says how to search the graph\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_no_minibatches(["plan_kwargs", "max_epochs"])


@pytest.mark.parametrize(
    ("mechanism", "structure", "found"),
    [
        (MLPMechanism, "search", "mechanism='mlp'"),
        (Saturating, "search", "mechanism='fixtures.mechanisms:Saturating'"),
        (LinearMechanism, "gradient", "structure='gradient'"),
    ],
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
