"""What the commands write: figures, tables, reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from scgim.evaluation.report._report import Report, ReportFigure, ReportTable, ReportText, to_png

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes


@dataclass
class OutputFolder:
    """A folder that collects figures and tables for a report.

    Attributes
    ----------
    path
        The folder.
    items
        What the report will show, in order.
    """

    path: Path
    items: list[ReportTable | ReportFigure | ReportText] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the folder."""
        (self.path / "figures").mkdir(parents=True, exist_ok=True)

    def add_figure(self, name: str, ax: Axes, *, title: str, description: str, note: str) -> None:
        """Write the figure of the axes to ``figures/`` and keep it for the report.

        Parameters
        ----------
        name
            File name without ending.
        ax
            Axes of the figure, which is closed.
        title
            What it shows.
        description
            The figure in words, for readers who do not see it.
        note
            How to read it.
        """
        figure = ax.get_figure(root=True)
        assert figure is not None
        png = to_png(figure)
        plt.close(figure)
        (self.path / "figures" / f"{name}.png").write_bytes(png)
        self.items.append(ReportFigure(title, png, description, note))

    def add_table(self, table: ReportTable) -> None:
        """Keep a table for the report.

        Parameters
        ----------
        table
            The table.
        """
        self.items.append(table)

    def write_report(self, title: str, summary: list[str], settings: dict[str, str]) -> Path:
        """Write ``report.html``.

        Parameters
        ----------
        title
            Title of the page.
        summary
            Paragraphs under the title.
        settings
            What was run.

        Returns
        -------
        The file.
        """
        path = self.path / "report.html"
        Report(title, summary, self.items, settings).write(path)
        return path
