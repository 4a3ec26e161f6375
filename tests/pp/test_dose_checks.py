import pytest

from scgim.pp import _dose_checks as checks


@pytest.mark.parametrize(
    ("smallest", "largest", "is_unusual"),
    [(1e-9, 1e-5, False), (1e-12, 1e-2, False), (1e-13, 1e-5, True), (1e-9, 1.0, True)],
)
def test_doses_outside_the_usual_range_are_worded(smallest, largest, is_unusual):
    warning = checks.unusual_dose("dose", smallest, largest)
    assert (warning is not None) == is_unusual


def test_unusual_dose_says_range_and_remedy():
    assert checks.unusual_dose("dose", 1e-9, 10.0) == (
        "The doses in `adata.obs['dose']` run from 1e-09 to 10 mol/l. Drugs are rarely given outside "
        "1e-12 to 1e-02 mol/l. Check the unit."
    )
