from scgim.model.host._old_formats import upgrade


def test_what_format_1_kept_in_five_attributes_becomes_one_value():
    old = {"statistics_": 1, "calibration_": 2, "gauge_": 3, "init_params_": 4}
    assert upgrade(old) == {
        "init_params_": 4,
        "fitted_": {
            "statistics": 1,
            "calibration": 2,
            "gauge": 3,
            "named_nodes": None,
            "reference": None,
        },
    }


def test_the_newest_format_is_left_as_it_is():
    new = {"fitted_": {"statistics": 1}, "init_params_": 4}
    assert upgrade(new) == new
