import pytest

from scgim._validation._benchmark import check_screen_labels


def test_a_screen_without_its_control_is_refused():
    with pytest.raises(ValueError, match="vehicle"):
        check_screen_labels("drug", ["a", "b"], "vehicle")
