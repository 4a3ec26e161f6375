import pytest

from scgim._messages import check_at_least


def test_a_number_below_its_minimum_is_named():
    with pytest.raises(ValueError, match="n_nodes"):
        check_at_least("n_nodes", 0, 1)
