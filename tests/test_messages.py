import warnings

import pandas as pd
import pytest

from scgim._messages import closest, quote_some, warn
from scgim.data._feature_checks import check_features


def test_closest_names_the_most_similar_first():
    assert closest("vehicel", ["drug", "vehicle", "vessel"]) == ["vehicle", "vessel"]


def test_closest_does_not_mind_capitals():
    assert closest("DMSO", ["water", "dmso"]) == ["dmso"]


def test_closest_names_the_first_choices_when_none_is_similar():
    assert closest("zzz", ["a", "b", "c"], n=2) == ["a", "b"]


def test_closest_names_five_at_most():
    assert len(closest("drug_1", [f"drug_{i}" for i in range(20)])) == 5


def test_closest_takes_choices_that_are_not_text():
    assert closest("10", [10, 20.0, None]) == ["10"]


def test_quoted_names_are_counted_beyond_five():
    assert quote_some(["a", "b"]) == "'a', 'b'"
    assert quote_some(list("abcdefgh")) == "'a', 'b', 'c', 'd', 'e' and 3 more"
    assert quote_some([1, 2], n=1) == "'1' and 1 more"


def test_warnings_point_at_the_caller_of_the_check_and_keep_the_filters():
    before = list(warnings.filters)

    def check():
        warn("Found this. Do that.", FutureWarning)

    with pytest.warns(FutureWarning, match=r"^Found this\. Do that\.$") as record:
        check()
    assert record[0].filename == __file__
    assert warnings.filters == before


def test_warnings_from_deep_within_point_at_the_first_line_outside_scgim():
    features = pd.DataFrame({"same": [2.0, 2.0], "other": [0.0, 1.0]}, index=["A", "B"])
    with pytest.warns(UserWarning, match="1 of 2 columns of `x` are constant") as record:
        check_features(features, {"A": 5, "B": 5}, place="`x`", control="vehicle")
    assert record[0].filename == __file__
