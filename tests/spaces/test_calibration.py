import numpy as np
from scipy.stats import norm

from scgim.spaces._calibration import QUANTILE_LEVELS, calibrate_intervals, uncalibrated, widen


def test_without_calibration_intervals_are_those_of_the_normal_distribution():
    calibration = uncalibrated()
    z = np.interp([0.5, 0.8, 0.95], QUANTILE_LEVELS, calibration["quantiles"])
    np.testing.assert_allclose(z, norm.ppf([0.75, 0.9, 0.975]), atol=1e-6)
    assert (calibration["scale"], calibration["floor"].item()) == (1.0, 0.0)


def test_calibration_of_seen_and_unseen_perturbations_can_be_read(model):
    assert set(model.fitted.calibration) == {"seen", "unseen"}
    for calibration in model.fitted.calibration.values():
        assert calibration["scale"] >= 0.5
        assert (calibration["floor"] >= 0).all()
        assert calibration["floor"].shape == (model.adata.n_vars,)
        quantiles = calibration["quantiles"]
        assert quantiles.shape == (101,)
        assert (np.diff(quantiles) >= 0).all()
        assert np.isfinite(quantiles).all()


def test_calibration_is_repeatable(model):
    one, other = calibrate_intervals(model.fitted), calibrate_intervals(model.fitted)
    for kind in ("seen", "unseen"):
        assert one[kind]["scale"] == other[kind]["scale"]
        np.testing.assert_array_equal(one[kind]["quantiles"], other[kind]["quantiles"])


def test_without_a_generator_unseen_perturbations_have_no_calibration(plain_model):
    np.testing.assert_array_equal(
        plain_model.fitted.calibration["unseen"]["quantiles"], uncalibrated()["quantiles"]
    )
    assert np.isfinite(plain_model.fitted.calibration["seen"]["quantiles"]).all()


def test_errors_on_the_cells_of_the_fit_only_widen():
    narrow = {"scale": 0.5, "floor": 0.1, "quantiles": np.zeros(101)}
    widened = widen(narrow)
    assert (widened["scale"], widened["floor"]) == (1.0, 0.1)
    np.testing.assert_array_equal(widened["quantiles"], uncalibrated()["quantiles"])
    wide = {"scale": 3.0, "floor": 0.0, "quantiles": np.full(101, 9.0)}
    assert widen(wide)["scale"] == 3.0
    assert (widen(wide)["quantiles"] == 9).all()
