import numpy as np
import pandas as pd
import pytest

from scgim import pl


@pytest.fixture
def shares():
    table = pd.DataFrame({"perturbation": ["a", "b", "c"], "mechanism": [0.2, 0.7, np.nan]})
    table["direct"] = [0.5, 0.1, np.nan]
    table["unexplained"] = 1 - table.mechanism - table.direct
    table["mechanism_lower"] = table.mechanism - 0.1
    table["mechanism_upper"] = table.mechanism + 0.1
    return table


def test_bars_of_a_perturbation_add_up_to_one(shares):
    ax = pl.mechanism_share(shares)
    ends = {}
    for bar in ax.patches:
        row = round(bar.get_y() + bar.get_height() / 2)
        ends[row] = max(ends.get(row, 0), bar.get_x() + bar.get_width())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a", "c"]
    np.testing.assert_allclose([ends[0], ends[1], ends[2]], [1, 1, 0])


def test_what_has_no_effect_is_said_to_have_none(shares):
    ax = pl.mechanism_share(shares, perturbations=["c", "a"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c", "a"]
    assert [text.get_text() for text in ax.texts] == ["no measurable effect"]


def test_a_perturbation_that_is_not_in_the_table_is_named(shares):
    with pytest.raises(ValueError, match="contains 'd', which is not in the table"):
        pl.mechanism_share(shares, perturbations=["d"])


def test_another_table_is_refused(shares):
    with pytest.raises(ValueError, match=r"GIM\.get_mechanism_share"):
        pl.mechanism_share(shares.drop(columns="direct"))
