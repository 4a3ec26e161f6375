import numpy as np
import pandas as pd
import pytest

from scgim.pl import gene_programs


@pytest.fixture
def programs():
    return pd.DataFrame(
        {"p0": [0.1, -2.0, 0.5, 0.0], "p1": [3.0, 0.0, 0.0, 0.0]}, index=["G1", "G2", "G3", "G4"]
    )


def _rows(ax):
    rows = {}
    for text in ax.texts:
        rows.setdefault(int(text.get_position()[1]), []).append(text.get_text())
    return rows


def test_genes_are_listed_by_absolute_weight_with_their_sign(programs):
    ax = gene_programs(programs, n_genes=3)
    assert _rows(ax)[0] == ["▼G2", "▲G3", "▲G1"]


def test_genes_that_a_node_does_not_move_are_not_listed(programs):
    assert _rows(gene_programs(programs))[1] == ["▲G1"]


def test_rows_are_the_nodes_asked_for(programs):
    ax = gene_programs(programs, nodes=["p1"])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["p1"]


def test_unknown_node_is_named(programs):
    with pytest.raises(ValueError, match="`nodes` contains 'p7'"):
        gene_programs(programs, nodes=["p7"])


def test_nothing_to_draw_is_refused(programs):
    with pytest.raises(ValueError, match="nothing to draw"):
        gene_programs(programs, n_genes=0)


def test_array_instead_of_a_table_is_refused(programs):
    with pytest.raises(TypeError, match="`programs` is a ndarray"):
        gene_programs(programs.to_numpy())


def test_a_narrow_figure_draws_the_genes_that_fit_and_says_so():
    genes = [f"HIST1H2B{i}" for i in range(30)]
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 4)), index=genes)
    ax = gene_programs(table.add_prefix("program_"), n_genes=8, width=85)
    n_drawn = len(_rows(ax)[0])
    assert 1 < n_drawn < 8
    assert ax.get_xlabel() == f"rank by absolute weight ({n_drawn} of 8 fit)"
    figure = ax.get_figure()
    figure.canvas.draw()
    cell = ax.get_window_extent().width / n_drawn
    assert max(text.get_window_extent().width for text in ax.texts) < cell


@pytest.mark.parametrize("n_genes", [3, 10])
def test_names_fit_their_cells(n_genes):
    rng = np.random.default_rng(0)
    genes = [f"HIST1H2B{i}" for i in range(30)]
    table = pd.DataFrame(rng.normal(size=(30, 12)), index=genes).add_prefix("program_")
    ax = gene_programs(table, n_genes=n_genes)
    figure = ax.get_figure()
    figure.canvas.draw()
    cell = ax.get_window_extent().width / n_genes
    assert max(text.get_window_extent().width for text in ax.texts) < cell
