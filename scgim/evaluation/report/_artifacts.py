"""What the commands write: figures, tables, reports."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from scgim._files import new_folder, write_bytes, write_text
from scgim.evaluation.report._report import Report, ReportFigure, ReportTable, ReportText, to_png

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

# In a folder of output: the files that the run wrote, one per line. The next run replaces them.
CONTENTS_NAME = "files.txt"


@dataclass
class OutputFolder:
    """A folder that collects figures and tables for a report, and appears with the report.

    Until then everything is in a hidden folder beside it, so that a run that is stopped leaves what
    an earlier one wrote. The files of an earlier run, which `files.txt` lists, make place for the new
    ones; other files in the folder stay.

    Attributes
    ----------
    target
        The folder that is to appear.
    path
        Where to write its files now.
    items
        What the report will show, in order.
    """

    target: Path
    items: list[ReportTable | ReportFigure | ReportText] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the hidden folder."""
        earlier = _read_contents(self.target)
        self._unfinished = ExitStack()
        new = new_folder(self.target, keep=lambda file: file.as_posix() not in earlier)
        self.path = self._unfinished.enter_context(new)
        self._forget = weakref.finalize(self, _abandon, self._unfinished)
        (self.path / "figures").mkdir()
        (self.path / "tables").mkdir()

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
        write_bytes(self.path / "figures" / f"{name}.png", png)
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
        """Write ``report.html``, and let the folder appear.

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
        Report(title, summary, self.items, settings).write(self.path / "report.html")
        for folder in ("figures", "tables"):
            if not any((self.path / folder).iterdir()):
                (self.path / folder).rmdir()
        written = [
            file.relative_to(self.path).as_posix()
            for file in self.path.rglob("*")
            if file.is_file()
        ]
        write_text(self.path / CONTENTS_NAME, "\n".join(sorted([*written, CONTENTS_NAME])) + "\n")
        self._forget.detach()
        self._unfinished.close()
        self.path = self.target
        return self.path / "report.html"


def _read_contents(folder: Path) -> frozenset[str]:
    """Names of the files that an earlier run wrote."""
    path = folder / CONTENTS_NAME
    return frozenset(path.read_text(encoding="utf-8").splitlines() if path.is_file() else ())


def _abandon(unfinished: ExitStack) -> None:
    """Delete what was written for a folder that will not appear."""
    unfinished.__exit__(NotFinishedError, NotFinishedError(), None)


class NotFinishedError(Exception):
    """A folder of output was given up before its report was written."""
