import matplotlib.pyplot as plt
import pandas as pd
import pytest

from scgim.evaluation.report._artifacts import OutputFolder
from scgim.evaluation.report._report import ReportTable


@pytest.fixture
def folder(tmp_path):
    return OutputFolder(tmp_path / "deep" / "out")


def test_figure_is_written_kept_for_the_report_and_closed(folder):
    _, ax = plt.subplots()
    folder.add_figure("curve", ax, title="Curve", description="A line", note="Note")
    png = (folder.path / "figures" / "curve.png").read_bytes()
    assert folder.items[0].png == png
    assert plt.get_fignums() == []


def test_report_shows_items_in_the_order_they_were_added(folder):
    folder.add_table(ReportTable("First table", pd.DataFrame({"a": [1.0]})))
    _, ax = plt.subplots()
    folder.add_figure("second", ax, title="Second figure", description="d", note="n")
    page = folder.write_report("Title", ["Summary"], {"seed": "1"}).read_text()
    assert page.index("Summary") < page.index("First table") < page.index("Second figure")


def write(folder, names):
    for name in names:
        (folder.path / "tables" / f"{name}.csv").write_text("of this run")
    return folder.write_report("Title", ["Summary"], {})


def test_nothing_appears_before_the_report(tmp_path):
    folder = OutputFolder(tmp_path / "out")
    (folder.path / "tables" / "scores.csv").write_text("of this run")
    assert not (tmp_path / "out").exists()
    assert write(folder, ["scores"]) == tmp_path / "out" / "report.html"
    assert (tmp_path / "out" / "tables" / "scores.csv").exists()


def test_an_earlier_run_is_replaced_and_files_of_the_user_stay(tmp_path):
    write(OutputFolder(tmp_path / "out"), ["scores", "coverage"])
    (tmp_path / "out" / "tables" / "mine.csv").write_text("mine")
    write(OutputFolder(tmp_path / "out"), ["scores"])
    tables = {path.name for path in (tmp_path / "out" / "tables").iterdir()}
    assert tables == {"scores.csv", "mine.csv"}


def test_a_run_that_fails_leaves_the_earlier_one_and_nothing_else(tmp_path):
    write(OutputFolder(tmp_path / "out"), ["scores"])
    folder = OutputFolder(tmp_path / "out")
    (folder.path / "tables" / "scores.csv").write_text("half")
    del folder
    assert (tmp_path / "out" / "tables" / "scores.csv").read_text() == "of this run"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_contents_are_listed(tmp_path):
    write(OutputFolder(tmp_path / "out"), ["scores"])
    listed = (tmp_path / "out" / "files.txt").read_text().splitlines()
    assert listed == ["files.txt", "report.html", "tables/scores.csv"]
