import re

import numpy as np
import pandas as pd
import pytest

from scgim.data._dose_warnings import warn_log_doses, warn_units

SERIES = np.array([0.1, 1.0, 10.0, 100.0])
HALF_LOG = np.array([0.03, 0.1, 0.3, 1.0, 3.0])


@pytest.mark.parametrize(
    "logarithms",
    [
        np.log10(SERIES + 1),
        np.log1p(SERIES),
        np.log10(SERIES) + 2,
        np.log2(np.array([1.0, 4.0, 16.0, 64.0]) + 1),
    ],
    ids=["log10(x + 1)", "log1p", "log10", "log2(x + 1)"],
)
def test_logarithms_of_a_dilution_series_are_warned_of(logarithms):
    with pytest.warns(UserWarning, match="look like logarithms"):
        warn_log_doses(np.repeat(np.append(logarithms, 0.0), 3), "`adata.obs['dose']`")


@pytest.mark.parametrize(
    "doses",
    [
        SERIES,
        SERIES * 1000,
        HALF_LOG,
        np.array([5.0, 10.0, 50.0]),
        2.0 ** np.arange(9),
        np.array([0.5, 1.0, 1.5, 2.0]),
    ],
)
def test_dilution_series_are_not(doses, recwarn):
    warn_log_doses(doses, "`adata.obs['dose']`")
    assert not recwarn


def cells(doses_of):
    obs = [(group, dose) for group, doses in doses_of.items() for dose in doses]
    return pd.DataFrame(obs, columns=["plate", "dose"])


@pytest.mark.parametrize("unit", [1e3, 1e6])
def test_two_units_in_one_column_are_warned_of(unit):
    obs = cells({"p1": HALF_LOG * unit, "p2": HALF_LOG, "p3": HALF_LOG * unit})
    with pytest.warns(UserWarning, match=rf"plate='p[13]' are {re.escape(f'{unit:g}')} times"):
        warn_units(obs.dose.to_numpy(), {"plate": obs.plate}, "`adata.obs['dose']`")


@pytest.mark.parametrize(
    "doses_of",
    [
        {"p1": SERIES, "p2": SERIES},
        {"p1": SERIES, "p2": SERIES[:2]},
        {"p1": np.geomspace(1e-3, 1e3, 7), "p2": np.geomspace(1e-2, 1e4, 7)},
        {"p1": [1.0], "p2": [1000.0]},
        {"p1": [1.0, 3.0], "p2": [20.0, 60.0]},
    ],
)
def test_one_unit_is_not(doses_of, recwarn):
    obs = cells(doses_of)
    warn_units(obs.dose.to_numpy(), {"plate": obs.plate}, "`adata.obs['dose']`")
    assert not recwarn
