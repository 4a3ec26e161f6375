import numpy as np
import pytest

from scgim.pl import dose_response


def _curves(ax):
    """Curves by label; helper lines have labels that start with an underscore."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def test_each_perturbation_and_node_gets_a_curve_with_its_effects(response):
    curves = _curves(dose_response(response))
    assert len(curves) == 4
    line = curves["A · x (EC50 1)"]
    np.testing.assert_allclose(line.get_xdata(), [0.1, 1.0, 10.0])
    np.testing.assert_allclose(line.get_ydata(), [0.2 / 1.1, 1.0, 20 / 11])


def test_curves_of_one_perturbation_are_told_apart_without_colour(response):
    curves = _curves(dose_response(response, perturbations=["A"]))
    assert set(curves) == {"x (EC50 1)", "y (EC50 1)"}
    assert len({line.get_linestyle() for line in curves.values()}) == 2


def test_ec50_is_marked_at_half_of_the_effect(response):
    ax = dose_response(response, perturbations=["A"], nodes=["x"])
    (diamond,) = [line for line in ax.lines if line.get_marker() == "D"]
    assert diamond.get_xdata()[0] == 1.0
    assert diamond.get_ydata()[0] == pytest.approx(1.0)


def test_interval_of_the_ec50_is_drawn_as_far_as_the_doses_go(response):
    response.attrs["ec50"] = {"A": {"ec50": 1.0, "lower": 0.5, "upper": 1e6}}
    ax = dose_response(response, perturbations=["A"], nodes=["x"])
    (bar,) = [line for line in ax.lines if line.get_marker() == "|"]
    np.testing.assert_allclose(bar.get_xdata(), [0.5, 10.0])
    np.testing.assert_allclose(bar.get_ydata(), [1.0, 1.0])
    assert "A · x (EC50 1)" in _curves(ax)


def test_without_ec50_nothing_is_marked(response):
    response.attrs = {}
    ax = dose_response(response)
    assert "A · x" in _curves(ax)
    assert not [line for line in ax.lines if line.get_marker() == "D"]


def test_ec50_outside_the_doses_is_written_but_not_marked(response):
    response.attrs["ec50"] = {"A": 500.0}
    ax = dose_response(response, perturbations=["A"], nodes=["x"])
    assert list(_curves(ax)) == ["A · x (EC50 5e+02)"]
    assert not [line for line in ax.lines if line.get_marker() == "D"]


def test_only_the_strongest_curves_are_drawn_and_the_figure_says_so(response):
    ax = dose_response(response, max_curves=2)
    assert set(_curves(ax)) == {"A · x (EC50 1)", "B · x (EC50 0.5)"}
    assert ax.get_legend().get_title().get_text() == "strongest 2 of 4 curves"


def test_interval_spans_lower_to_upper(response):
    ax = dose_response(response, perturbations=["A"], nodes=["x"])
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(20 / 11 + 0.1)
    assert heights.min() == pytest.approx(0.2 / 1.1 - 0.1)


def test_observed_points_lie_on_the_curve_they_belong_to(response):
    observed = response[["perturbation", "node", "dose", "effect"]]
    ax = dose_response(response, perturbations=["B"], nodes=["x"], observed=observed)
    points = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(points, [[0.1, 0.1 / 0.6], [1.0, 1 / 1.5], [10.0, 10 / 10.5]])


def test_dose_axis_is_logarithmic_with_its_unit(response):
    ax = dose_response(response, dose_unit="nM")
    assert "A · x (EC50 1 nM)" in _curves(ax)
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "dose (nM)"


def test_control_dose_only_is_refused(response):
    with pytest.raises(ValueError, match="`response` has no rows"):
        dose_response(response[response["dose"] == 0])


def test_unknown_node_is_named(response):
    with pytest.raises(ValueError, match="`nodes` contains 'q'"):
        dose_response(response, nodes=["q"])


def test_no_curves_at_all_is_refused(response):
    with pytest.raises(ValueError, match="`max_curves=0` leaves nothing to draw"):
        dose_response(response, max_curves=0)
