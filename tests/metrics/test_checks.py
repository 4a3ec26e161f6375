import numpy as np
import pytest

from scgim.metrics._checks import check_finite


def test_an_array_with_missing_values_is_named():
    with pytest.raises(ValueError, match="predicted"):
        check_finite(predicted=np.array([1.0, np.nan]))
