import base64
import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from scgim.evaluation.report._report import Report, ReportFigure, ReportTable, ReportText, to_png


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def table():
    values = pd.DataFrame(
        {"R²": [0.987, -0.5], "E <new>": [np.nan, 1.0], "call": ["yes", "no"]},
        index=["scgim", "ridge & co"],
    )
    return ReportTable("Scores", values, note="1 is perfect.", emphasis="scgim")


@pytest.fixture
def figure():
    plotted, ax = plt.subplots(figsize=(1, 1))
    ax.plot([0, 1])
    return ReportFigure("Curve", to_png(plotted), 'A "rising" line', "Read left to right.")


@pytest.fixture
def page(table, figure):
    report = Report("A <screen>", ["First."], [table, figure], {"seed": "0"})
    return report.to_html()


def test_page_is_well_formed_and_has_a_language(page):
    parsed = _Page(page)
    assert parsed.open == []
    assert parsed.all("html") == [{"lang": "en"}]


def test_page_needs_no_network(page):
    parsed = _Page(page)
    sources = [attributes["src"] for attributes in parsed.all("img")]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not parsed.all("link")
    assert not parsed.all("script")
    assert not re.search(r"https?://|url\(", page)


def test_page_runs_nothing_and_asks_nobody(page):
    (policy,) = [
        attributes["content"]
        for attributes in _Page(page).all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy


def test_names_in_a_page_are_text():
    name = "</script><script>alert('x')</script><img src=x onerror=alert(1)>"
    values = pd.DataFrame({name: [name]}, index=[name])
    items = [ReportTable(name, values, note=name), ReportText(name, name)]
    parsed = _Page(Report(name, [name, name], items, {name: name}).to_html())
    assert not parsed.all("script")
    assert not parsed.all("img")
    assert parsed.open == []


def test_dollar_signs_in_names_are_no_mathematics():
    figure, ax = plt.subplots()
    ax.set_yticks([0, 1], ["$\\frac{$", "a$b$c"])
    ax.set_xscale("log")
    ax.set_title("$\\bad$")
    png = to_png(figure)
    plt.close(figure)
    assert png.startswith(b"\x89PNG")


def test_image_in_the_page_is_the_figure(page, figure):
    (image,) = _Page(page).all("img")
    assert base64.b64decode(image["src"].split(",")[1]) == figure.png
    assert figure.png.startswith(b"\x89PNG")


def test_figure_is_described_for_readers_who_do_not_see_it(page):
    (image,) = _Page(page).all("img")
    assert image["alt"] == 'A "rising" line'


def test_user_text_cannot_become_markup(page):
    assert "<screen>" not in page
    assert "A &lt;screen&gt;" in page
    assert "ridge &amp; co" in page


def test_table_has_headers_for_rows_and_columns_and_can_be_scrolled_by_keyboard(page):
    scopes = [attributes.get("scope") for attributes in _Page(page).all("th")]
    assert scopes.count("row") == 2
    assert scopes.count("col") == 3
    assert {"tabindex": "0"}.items() <= _Page(page).all("div")[0].items()


def test_every_part_can_be_reached_from_the_top_by_keyboard(table, figure):
    report = Report("A", ["First.", "Second."], [table, figure, table], {"seed": "0"})
    parsed = _Page(report.to_html())
    targets = [attributes["href"] for attributes in parsed.all("a")]
    assert targets == ["#main", "#item-1", "#item-2", "#item-3", "#settings"]
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert {target[1:] for target in targets} <= set(ids)
    assert len(ids) == len(set(ids))


def test_the_first_paragraph_leads(table):
    page = Report("A", ["First.", "Second."], [table]).to_html()
    assert '<p class="lead">First.</p>\n<p>Second.</p>' in page


def test_numbers_are_rounded_and_missing_ones_named(table):
    assert table.rows == [
        ("scgim", ["0.99", "n/a", "yes"]),
        ("ridge & co", ["-0.50", "1.00", "no"]),
    ]


def test_nothing_has_no_sign():
    table = ReportTable("A", pd.DataFrame({"a": [-0.0004, 0.0004, -0.006]}), digits=2)
    assert [cells for _, cells in table.rows] == [["0.00"], ["0.00"], ["-0.01"]]


def test_terminal_shows_the_same_table(table):
    console = Console(width=80, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(table.to_rich())
    text = capture.get()
    for expected in ("Scores", "E <new>", "ridge & co", "-0.50", "n/a", "1 is perfect."):
        assert expected in text


def test_a_paragraph_stands_under_its_title():
    page = Report("A", [], [ReportText("No <audit>", "Nothing to ask & say.")]).to_html()
    assert re.search(r"<h2[^>]*>No &lt;audit&gt;</h2>\s*<p>Nothing to ask &amp; say.</p>", page)


def test_report_is_written_as_unicode(table, tmp_path):
    Report("µ", [], [table]).write(tmp_path / "report.html")
    assert "R²" in (tmp_path / "report.html").read_text(encoding="utf-8")
