import numpy as np
import pytest

from scgim.spaces._measured_shifts import MeasuredShifts
from scgim.spaces._mechanism_share import compute_mechanism_share

N_GENES = 2000


def share(rng, nodes, direct, rest, *, noise=0.5):
    total = nodes + direct + rest
    shift = total + rng.normal(0, noise, total.shape)
    n = len(total)
    measured = MeasuredShifts(
        perturbation=np.arange(n),
        log10_dose=np.full(n, np.inf),
        context=np.zeros(n, int),
        contexts=np.zeros((1, 1), int),
        shift=shift,
        variance=np.full(shift.shape, noise**2),
    )
    none = (0.0, np.zeros(shift.shape))
    return compute_mechanism_share(measured, nodes, direct, none, [f"p{i}" for i in range(n)])


def parts(rng, *sizes):
    return [size * rng.normal(size=(1, N_GENES)) for size in sizes]


@pytest.mark.parametrize("sizes", [(1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, 1.0, 2**0.5)])
def test_shares_are_those_of_the_squared_effects(sizes):
    rng = np.random.default_rng(0)
    table = share(rng, *parts(rng, *sizes))
    expected = np.square(sizes) / np.square(sizes).sum()
    found = table[["mechanism", "direct", "unexplained"]].to_numpy()[0]
    np.testing.assert_allclose(found, expected, atol=0.06)
    np.testing.assert_allclose(found.sum(), 1)


def test_intervals_hold_the_estimate():
    rng = np.random.default_rng(1)
    table = share(rng, *parts(rng, 1.0, 0.7, 0.7))
    for part in ("mechanism", "direct", "unexplained"):
        assert (table[f"{part}_lower"] <= table[part]).all()
        assert (table[part] <= table[f"{part}_upper"]).all()


def test_no_effect_has_no_shares():
    rng = np.random.default_rng(2)
    table = share(rng, *parts(rng, 0.0, 0.0, 0.0))
    assert table.drop(columns="perturbation").isna().all(axis=None)
