import numpy as np

from scgim.spaces._condition_means import ConditionMeans, condition_keys, read_keys


def means(rng, n_rows=6):
    return ConditionMeans(
        label=np.repeat([0, 1, 2], 2),
        dose=np.array([0.0, 0.0, 1.0, 1.0, np.nan, np.nan]),
        context=np.tile([[0, 1], [1, 0]], (3, 1)),
        n_cells=rng.integers(1, 9, n_rows).astype(float),
        expression=rng.normal(size=(n_rows, 4)).astype(np.float32),
    )


def test_keys_come_back_as_they_were():
    one = means(np.random.default_rng(0))
    back = read_keys(condition_keys(one.label, one.dose, one.context))
    np.testing.assert_array_equal(back["label"], one.label)
    np.testing.assert_array_equal(back["dose"], one.dose)
    np.testing.assert_array_equal(back["context"], one.context)


def test_pooling_weighs_by_cells_and_keeps_conditions_apart():
    rng = np.random.default_rng(1)
    one, other = means(rng), means(rng)
    pooled = one.add(other)
    np.testing.assert_array_equal(pooled.n_cells, one.n_cells + other.n_cells)
    total = one.expression * one.n_cells[:, None] + other.expression * other.n_cells[:, None]
    np.testing.assert_allclose(pooled.expression, total / pooled.n_cells[:, None], rtol=1e-5)
    np.testing.assert_array_equal(pooled.context, one.context)


def test_means_come_back_from_their_plain_values():
    one = means(np.random.default_rng(2))
    again = ConditionMeans.from_dict(one.to_dict())
    np.testing.assert_equal(again.to_dict(), one.to_dict())
