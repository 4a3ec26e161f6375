"""A page of tables and figures that a browser opens from disk, without a network."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import jinja2
import pandas as pd
from matplotlib.text import Text
from rich import box
from rich.table import Table

from scgim._files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.figure import Figure

PACKAGES = ("scgim", "scvi-tools", "torch", "scikit-learn", "anndata")
RESOLUTION = 200
"""Dots per inch of figures."""


@dataclass(frozen=True)
class ReportTable:
    """A table for the terminal and for the page.

    Attributes
    ----------
    title
        What the table shows.
    values
        Cells; numbers are written with ``digits`` decimals.
    note
        How to read it.
    digits
        Decimals of numbers.
    emphasis
        Label of the row to set in bold, if any.
    """

    title: str
    values: pd.DataFrame
    note: str = ""
    digits: int = 2
    emphasis: str | None = None

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """Label and formatted cells of each row."""
        return [
            (str(label), [self._format(value) for value in row])
            for label, row in zip(
                self.values.index, self.values.itertuples(index=False), strict=True
            )
        ]

    def _format(self, value: object) -> str:
        if isinstance(value, str):
            return value
        if pd.isna(value):
            return "n/a"
        text = f"{value:.{self.digits}f}"
        return text if text.strip("-0.") else text.removeprefix("-")

    def to_rich(self) -> Table:
        """Lay the table out for the terminal."""
        table = Table(
            title=self.title,
            caption=self.note,
            box=box.SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
            title_style="bold",
        )
        table.add_column("", no_wrap=True)
        for column in self.values.columns:
            table.add_column(str(column), justify="right")
        for label, cells in self.rows:
            table.add_row(label, *cells, style="bold" if label == self.emphasis else None)
        return table


@dataclass(frozen=True)
class ReportFigure:
    """A figure for the page.

    Attributes
    ----------
    title
        What the figure shows.
    png
        The image.
    description
        The image in words, for readers who do not see it.
    note
        How to read it.
    """

    title: str
    png: bytes
    description: str
    note: str = ""

    @property
    def data_uri(self) -> str:
        """The image as text that a page can hold."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class ReportText:
    """A paragraph for the page, where a table or figure would say nothing.

    Attributes
    ----------
    title
        What it is about.
    text
        The paragraph.
    """

    title: str
    text: str


@dataclass
class Report:
    """A page: a title, a summary, tables and figures, and the settings.

    Attributes
    ----------
    title
        Title of the page.
    summary
        Paragraphs under the title.
    items
        Tables, figures and paragraphs in order.
    settings
        What was run, name to value.
    """

    title: str
    summary: list[str]
    items: list[ReportTable | ReportFigure | ReportText] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    def to_html(self) -> str:
        """Render the page; everything it shows is inside."""
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("scgim.evaluation.report"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.tests["table"] = lambda item: isinstance(item, ReportTable)
        environment.tests["text"] = lambda item: isinstance(item, ReportText)
        return environment.get_template("report.html.jinja").render(report=self)

    def write(self, path: Path) -> None:
        """Write the page.

        Parameters
        ----------
        path
            File to write.
        """
        write_text(path, self.to_html())


def describe_versions() -> dict[str, str]:
    """Say which versions are installed.

    Returns
    -------
    Name to version, for the end of a report.
    """
    return {name: version(name) for name in PACKAGES}


def describe_settings(settings: Mapping[str, object]) -> dict[str, str]:
    """Say with which settings something was run.

    Parameters
    ----------
    settings
        Name to value.

    Returns
    -------
    Name to value in words, for the end of a report.
    """
    return {
        name.replace("_", " "): "not given" if value is None else str(value)
        for name, value in settings.items()
    }


def title_at(title: str, where: str) -> str:
    """Say in a title which of several parts of a page it is about.

    Parameters
    ----------
    title
        The title.
    where
        What it is about, empty where there is one part only.

    Returns
    -------
    The title, with the part in brackets.
    """
    return f"{title} ({where})" if where else title


def to_png(figure: Figure) -> bytes:
    """Draw a figure as a PNG image.

    Parameters
    ----------
    figure
        Figure to draw.

    Returns
    -------
    The image.
    """
    _write_names_plainly(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=RESOLUTION, facecolor="white")
    return buffer.getvalue()


def _write_names_plainly(figure: Figure) -> None:
    """Take dollar signs in names for what they are; only numbers on the axes are mathematics."""
    for text in figure.findobj(Text):
        if "mathdefault" not in text.get_text():
            text.set_parse_math(False)
