import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from scgim import pl
from scgim.pl import _style


def test_new_figure_has_the_width_asked_for_and_fits_the_page():
    figure = _style.new_axes(85.0, 900.0).get_figure()
    assert figure.get_size_inches() * 25.4 == pytest.approx([85.0, 230.0])


def test_axes_size_is_in_points_whatever_the_resolution():
    sizes = []
    for dpi in (50, 400):
        _, ax = plt.subplots(figsize=(2, 1), dpi=dpi)
        ax.set_position([0, 0, 1, 1])
        sizes.append(_style.axes_size(ax))
    np.testing.assert_allclose(sizes, [[144.0, 72.0]] * 2)


def test_labels_without_room_are_left_out():
    assert _style.fitting_font_size(2.0) is None
    assert _style.fitting_font_size(100.0) == _style.SMALL_FONT_SIZE


def test_text_is_white_on_dark_and_black_on_light():
    colours = _style.text_colour(np.array([[0.0, 0.0, 0.3, 1.0], [1.0, 0.9, 0.9, 1.0]]))
    assert colours.tolist() == ["white", "black"]


def test_text_can_be_read_on_every_colour_of_the_scale():
    backgrounds = mpl.colormaps[_style.DIVERGING](np.linspace(0, 1, 101))
    text = np.array([mpl.colors.to_rgba(name) for name in _style.text_colour(backgrounds)])

    def luminance(colours):
        linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
        return linear[:, :3] @ [0.2126, 0.7152, 0.0722]

    pair = np.sort([luminance(text), luminance(backgrounds)], axis=0)
    assert ((pair[1] + 0.05) / (pair[0] + 0.05)).min() > 4.5


def test_text_width_grows_with_text_and_size():
    assert _style.text_width("mm", 6) > 1.5 * _style.text_width("m", 6)
    assert _style.text_width("m", 12) == pytest.approx(2 * _style.text_width("m", 6))


def test_drawing_changes_no_global_setting(targets, chain, response):
    before = dict(mpl.rcParams)
    pl.intervention_targets(targets)
    pl.causal_graph(chain)
    pl.dose_response(response)
    pl.ambiguity(targets)
    assert dict(mpl.rcParams) == before


def test_smallest_text_is_legible_at_journal_width(targets, chain, response):
    for ax in (
        pl.intervention_targets(targets),
        pl.causal_graph(chain),
        pl.dose_response(response),
    ):
        figure = ax.get_figure()
        figure.canvas.draw()
        sizes = [
            text.get_fontsize()
            for text in figure.findobj(mpl.text.Text)
            if text.get_text() and text.get_visible()
        ]
        assert min(sizes) >= _style.MIN_FONT_SIZE
        assert figure.get_size_inches()[0] * 25.4 == pytest.approx(85.0)


def test_a_name_with_dollar_signs_has_the_width_of_its_letters():
    plain = _style.text_width("a$b$c", 10)
    assert _style.text_width("abc", 10) < plain
    assert _style.text_width("$\\bad{$", 10) > 0
