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
