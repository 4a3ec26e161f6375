import pytest

from scgim._validation._splits import check_fraction


def test_a_fraction_of_one_is_refused():
    with pytest.raises(ValueError, match="fraction"):
        check_fraction("fraction", 1.0)
