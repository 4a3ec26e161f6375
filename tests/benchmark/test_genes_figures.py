import numpy as np

from scgim.benchmark._genes import GenesSettings
from scgim.datasets import GenesWorld


def test_bars_belong_to_the_variant_they_were_set_for():
    by_label = {figure.label: figure.bar for figure in GenesSettings(world=GenesWorld()).figures()}
    assert by_label["edge F1"][0] == 0.95
    tanh = GenesSettings(world=GenesWorld(features="tanh")).figures()
    assert all(np.isinf(figure.bar).all() for figure in tanh if figure.metric == "edge F1")
    hard = GenesSettings(world=GenesWorld(intervention="hard"))
    assert "share of targets of the right kind" in {figure.label for figure in hard.figures()}
    assert hard.search_settings.kind == "auto"


def test_every_variant_has_the_bar_on_time():
    figures = GenesSettings(world=GenesWorld(graph="sf2", sign="drug")).figures()
    assert {figure.label: figure.bar for figure in figures}["CPU seconds to fit"][1] == 60.0


def test_bars_hold_for_the_sizes_they_were_set_for():
    few = {
        figure.label: figure.bar for figure in GenesSettings(world=GenesWorld(n_cells=5)).figures()
    }
    assert np.isinf(few["edge F1"]).all()
    large = GenesSettings(world=GenesWorld(3, n_nodes=100)).figures()
    assert {figure.label: figure.bar for figure in large}["CPU seconds to fit"][1] == 600.0
