import math

import pandas as pd
import pytest

from scgim.benchmark._figures import (
    ENERGY,
    GIM_NAME,
    PROGRAMS_FIGURES,
    R2,
    Figure,
    read_bars,
    summarize,
)


def scores(*rows):
    return pd.DataFrame(rows, columns=["seed", "predictor", "split", "metric", "value"])


@pytest.fixture
def measured():
    return scores(
        (0, GIM_NAME, "unseen_drug", R2, 0.96),
        (1, GIM_NAME, "unseen_drug", R2, 0.98),
        (0, GIM_NAME, "unseen_drug", ENERGY, 0.01),
        (1, GIM_NAME, "unseen_drug", ENERGY, 0.05),
        (0, "MLP ensemble", "unseen_drug", ENERGY, 0.1),
        (1, "MLP ensemble", "unseen_drug", ENERGY, 0.1),
    )


def row_of(table, label):
    return table.set_index("figure").loc[label]


def test_figures_average_over_seeds_and_name_the_worst(measured):
    table = summarize(measured, PROGRAMS_FIGURES, with_bars=True)
    row = row_of(table, "R², unseen drug")
    assert row["mean"] == pytest.approx(0.97)
    assert row["sd"] == pytest.approx(0.02 / math.sqrt(2))
    assert row["worst"] == 0.96
    assert (row["bar"], row["moonshot"], row["reached"]) == ("≥ 0.95", "≥ 0.98", "bar")
    assert row_of(table, "energy distance, unseen drug")["worst"] == 0.05


def test_ratio_is_that_of_the_averages(measured):
    table = summarize(measured, PROGRAMS_FIGURES, with_bars=True)
    row = row_of(table, "energy distance of unseen drugs / MLP ensemble")
    assert row["mean"] == pytest.approx(0.3)
    assert row["reached"] == "bar"


def test_figures_that_were_not_measured_are_left_out(measured):
    table = summarize(measured, PROGRAMS_FIGURES, with_bars=True)
    assert len(table) == 3


def test_bars_are_left_out_where_none_were_set(measured):
    table = summarize(measured, PROGRAMS_FIGURES, with_bars=False)
    assert set(table["bar"]) == set(table["reached"]) == {""}


@pytest.mark.parametrize(
    ("value", "reached"), [(0.8, "moonshot"), (0.75, "bar"), (0.6, "missed"), (0.95, "missed")]
)
def test_two_sided_bars(value, reached):
    figure = Figure("x", R2, "", bar=(0.7, 0.92), moonshot=(0.77, 0.83))
    table = summarize(scores((0, GIM_NAME, "", R2, value)), [figure], with_bars=True)
    assert table.loc[0, "reached"] == reached
    assert table.loc[0, "bar"] == "0.7 to 0.92"
    assert math.isnan(table.loc[0, "sd"])


def test_every_bar_of_the_file_belongs_to_a_figure():
    bars = read_bars("programs")
    by_label = {figure.label: figure for figure in PROGRAMS_FIGURES}
    assert set(bars) <= set(by_label)
    assert by_label["R², unseen drug"].bar == (0.95, math.inf)
    assert by_label["80 % intervals cover, unseen drug"].moonshot == (0.77, 0.83)
    assert sum(math.isfinite(sum(figure.bar)) for figure in by_label.values()) == 2


@pytest.mark.parametrize("benchmark", ["programs", "chemistry"])
def test_what_is_hoped_for_lies_within_what_has_to_be_reached(benchmark):
    for ranges in read_bars(benchmark).values():
        low, high = ranges.bar
        assert low < high
        hoped_low, hoped_high = ranges.moonshot or ranges.bar
        assert low <= hoped_low < hoped_high <= high
