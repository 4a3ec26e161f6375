import pandas as pd
import pytest

from scgim.benchmark import ControlAudit
from scgim.cli._control_section import ALL_WELL, GROUPS, NO_GROUPS, TITLE, add_control
from scgim.cli._report import ReportText

NAN = float("nan")


@pytest.fixture
def vehicles():
    rows = [("p1", 40, 0.01, 0.05, False), ("p2", 12, 0.9, 0.1, True)]
    return pd.DataFrame(rows, columns=["group", "n_cells", "distance", "band", "is_outside"])


def test_without_plates_and_doses_there_is_little_to_say(folder, vehicles):
    add_control(folder, ControlAudit(vehicles, NAN, NAN, []), None)
    assert folder.items == [ReportText(TITLE, f"{ALL_WELL} {NO_GROUPS}")]


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
