import pandas as pd
import pytest

from scgim.evaluation import ControlAudit
from scgim.evaluation.report._control_section import (
    ALL_WELL,
    GROUPS,
    NO_GROUPS,
    NOT_TESTED,
    TITLE,
    add_control,
)
from scgim.evaluation.report._report import ReportText

NAN = float("nan")


@pytest.fixture
def vehicles():
    rows = [("p1", 40, 0.01, 0.05, False), ("p2", 12, 0.9, 0.1, True)]
    return pd.DataFrame(rows, columns=["group", "n_cells", "distance", "band", "is_outside"])


def test_without_plates_and_doses_nothing_is_tested(folder, vehicles):
    add_control(folder, ControlAudit(vehicles, NAN, NAN, []), None)
    assert folder.items == [ReportText(TITLE, f"{NOT_TESTED} {NO_GROUPS}")]


def test_doses_alone_can_say_that_all_is_well(folder, vehicles):
    add_control(folder, ControlAudit(vehicles, 0.01, 0.4, []), None)
    assert folder.items[0].text.startswith(f"{ALL_WELL} The shift that all perturbations share")


def test_plates_that_differ_are_in_a_table_with_the_problem_in_words(folder, vehicles):
    add_control(
        folder, ControlAudit(vehicles, 0.031, 0.5, ["Control cells of 'p2' differ."]), "plate"
    )
    (table,) = folder.items
    assert table.note == (
        "Control cells of 'p2' differ. The shift that all perturbations share at their lowest dose is "
        f"0.031 of what their highest dose adds (p = 0.5). {GROUPS}"
    )
    assert table.rows == [
        ("p1", ["40", "0.010", "0.050", "no"]),
        ("p2", ["12", "0.900", "0.100", "yes"]),
    ]
