import pytest

from scgim.pl import ambiguity


def _widths(ax):
    certain, doubtful = ax.containers
    return [bar.get_width() for bar in certain], [bar.get_width() for bar in doubtful]


def test_targets_are_counted_by_node(targets):
    assert _widths(ambiguity(targets)) == ([2, 1, 0], [0, 0, 1])


def test_targets_are_counted_by_perturbation(targets):
    assert _widths(ambiguity(targets, by="perturbation")) == ([1, 1, 1], [0, 0, 1])


def test_ambiguous_bars_follow_the_certain_ones_and_are_hatched(targets):
    _, doubtful = ambiguity(targets, by="perturbation").containers
    assert [bar.get_x() for bar in doubtful] == [1, 1, 1]
    assert all(bar.get_hatch() for bar in doubtful)


def test_nothing_is_drawn_where_no_target_is_ambiguous(targets):
    _, doubtful = ambiguity(targets).containers
    assert [bar.get_linewidth() for bar in doubtful] == [0, 0, 0.6]


def test_legend_names_both_bars_whatever_is_ambiguous(targets):
    legend = ambiguity(targets.assign(ambiguous=False)).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["certain", "ambiguous"]


def test_label_says_how_many_of_how_many(targets):
    assert ambiguity(targets).get_xlabel() == "targets (1 of 4 ambiguous)"


def test_unknown_side_names_the_choices(targets):
    with pytest.raises(ValueError, match=r"`by='gene'` is not one of \['node', 'perturbation'\]"):
        ambiguity(targets, by="gene")
