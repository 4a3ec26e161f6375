import pytest

from scgim._validation._genes import check_gradient_world


def test_linear_shifts_pass():
    check_gradient_world("linear", "shift")


@pytest.mark.parametrize("world", [("mlp", "shift"), ("linear", "hard")])
def test_other_worlds_are_refused_with_what_to_do(world):
    with pytest.raises(ValueError, match=r"knows linear mechanisms and shifts only\. Leave"):
        check_gradient_world(*world)
