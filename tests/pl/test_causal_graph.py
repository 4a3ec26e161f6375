import sys

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import FancyArrowPatch

from scgim.pl import causal_graph


def _edges(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


def _names(ax):
    return {text.get_text() for text in ax.texts}


def test_every_node_is_named_and_every_edge_drawn(chain):
    ax = causal_graph(chain, threshold=0.0)
    assert _names(ax) == {"x", "y", "z"}
    assert len(_edges(ax)) == 3


def test_signs_differ_in_line_style_and_not_only_in_colour(chain):
    ax = causal_graph(chain)
    raising, lowering = _edges(ax)
    assert raising.get_linestyle() == "-"
    assert lowering.get_linestyle() != "-"
    assert [line.get_marker() for line in ax.lines] == ["|"]


def test_larger_weights_get_wider_lines(chain):
    widths = [patch.get_linewidth() for patch in _edges(causal_graph(chain, threshold=0.0))]
    assert sorted(widths) == [widths[1], widths[2], widths[0]]


def test_ambiguous_edges_are_pale_and_the_legend_says_so(chain):
    ambiguous = chain.astype(bool) & False
    ambiguous.loc["y", "z"] = True
    ax = causal_graph(chain, ambiguous=ambiguous)
    certain, doubtful = (patch.get_alpha() for patch in _edges(ax))
    assert doubtful < certain == 1
    assert "pale: ambiguous" in [text.get_text() for text in ax.get_legend().get_texts()]
    plain = causal_graph(chain, ambiguous=ambiguous & False).get_legend()
    assert "pale: ambiguous" not in [text.get_text() for text in plain.get_texts()]


def test_ambiguous_table_of_another_model_is_refused(chain):
    other = chain.rename(index={"x": "q"}, columns={"x": "q"}).astype(bool)
    with pytest.raises(ValueError, match="`ambiguous` has no row for node 'x'"):
        causal_graph(chain, ambiguous=other)


def test_edges_left_out_by_default_are_counted_in_the_figure(chain):
    ax = causal_graph(chain)
    assert len(_edges(ax)) == 2
    assert ax.get_legend().get_title().get_text() == "line width: |weight|; 1 below 0.1 not shown"


def test_a_crowded_graph_draws_three_edges_per_node_by_default():
    nodes = [f"n{i}" for i in range(12)]
    weights = np.triu(np.linspace(1, 2, 144).reshape(12, 12), 1)
    ax = causal_graph(pd.DataFrame(weights, index=nodes, columns=nodes))
    assert len(_edges(ax)) == 36
    assert "; 30 below 1.3 not shown" in ax.get_legend().get_title().get_text()


def test_cycle_is_named(chain):
    chain.loc["z", "x"] = 1.0
    with pytest.raises(ValueError, match=r"has the cycle .*x → y.* among the edges to draw"):
        causal_graph(chain)


def test_weak_cycle_can_be_cut_by_the_threshold(chain):
    chain.loc["z", "x"] = 0.05
    assert len(_edges(causal_graph(chain, threshold=0.2))) == 2


def test_unknown_layout_names_the_choices(chain):
    with pytest.raises(ValueError, match=r"`layout='spring'` is not one of \['layered'"):
        causal_graph(chain, layout="spring")


def test_graphviz_without_pygraphviz_says_what_to_install(chain, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(RuntimeError, match="needs the package pygraphviz and the program dot"):
        causal_graph(chain, layout="graphviz")


def test_graphviz_positions_put_parents_left(chain, monkeypatch):
    placed = {"x": (27.0, 18.0), "y": (117.0, 40.0), "z": (207.0, 18.0)}
    monkeypatch.setattr(nx.nx_agraph, "graphviz_layout", lambda *_, **__: placed)
    ax = causal_graph(chain, layout="graphviz")
    assert [text.get_position()[0] for text in ax.texts] == [0, 1, 2]


def _overlap(boxes):
    return sum(first.overlaps(second) for i, first in enumerate(boxes) for second in boxes[i + 1 :])


def test_names_of_sixty_nodes_do_not_overlap_at_page_width():
    rng = np.random.default_rng(1)
    nodes = [f"program_{i}" for i in range(60)]
    weights = np.triu(rng.random((60, 60)) < 0.04, 1) * rng.choice([-1.0, 1.0], (60, 60))
    ax = causal_graph(pd.DataFrame(weights, index=nodes, columns=nodes))
    figure = ax.get_figure()
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 60
    assert _overlap(boxes) == 0


def test_edges_end_outside_the_boxes_at_any_resolution(chain, tmp_path):
    ax = causal_graph(chain)
    figure = ax.get_figure()
    for dpi in (100, 300):
        figure.savefig(tmp_path / "graph.png", dpi=dpi)
    figure.canvas.draw()
    (raising, _) = _edges(ax)
    end = raising.get_transform().transform(raising.get_path().vertices[-1])
    box = next(text for text in ax.texts if text.get_text() == "y").get_window_extent()
    assert not box.contains(*end)


def test_highlighted_node_has_its_colour(chain):
    ax = causal_graph(chain, highlight={"y": "#ff0000"})
    colours = {text.get_text(): text.get_bbox_patch().get_facecolor() for text in ax.texts}
    assert colours["y"] == (1.0, 0.0, 0.0, 1.0)
    assert colours["x"] == (1.0, 1.0, 1.0, 1.0)


def test_graph_without_edges_says_so(chain):
    ax = causal_graph(chain * 0)
    assert ax.get_legend().get_title().get_text() == "no edges"


def test_names_too_long_for_boxes_stand_above_dots(chain):
    _, ax = plt.subplots(figsize=(1.2, 1.0))
    names = [f"a_very_long_program_name_{i}" for i in range(3)]
    table = chain.set_axis(names).set_axis(names, axis=1)
    causal_graph(table, ax=ax)
    assert all(text.get_bbox_patch() is None for text in ax.texts)
    assert len(ax.collections) == 3
