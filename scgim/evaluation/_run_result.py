"""What a run measured: its tables, what may be said of them, and how they are printed and written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scgim._messages import closest, warn
from scgim.evaluation._result_file import write_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The result of a benchmark or an evaluation.

    Attributes
    ----------
    scores
        Tidy table of all that was measured.
    tables
        Tables made from it or beside it, by name, such as ``"figures"``, ``"comparison"``,
        ``"audits"``.
    claims
        What may be said, or may not, in words.
    settings
        What it ran with, ``None`` where there was no choice.
    document
        What the JSON file says, tables included.
    shown
        What is printed, tables and sentences in order.
    draw
        Makes the image of :meth:`write_figure`, ``None`` where there is none.
    """

    scores: pd.DataFrame
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    claims: Sequence[str] = ()
    settings: Any = None
    document: Mapping[str, object] = field(default_factory=dict, repr=False)
    shown: Sequence[Table | str] = field(default=(), repr=False)
    draw: Callable[[Path], None] | None = field(default=None, repr=False)

    @property
    def audits(self) -> pd.DataFrame:
        """Verdicts on the use of features, one row per seed and model."""
        return self._table("audits")

    def figures(self) -> pd.DataFrame:
        """Give the numbers that the run is judged by, averaged over seeds, with bars where they apply.

        Returns
        -------
        One row per figure: ``figure``, ``mean``, ``sd``, ``worst``, ``n_seeds``, ``bar``, ``moonshot``
        and ``reached``.

        Raises
        ------
        ValueError
            When this run has none.
        """
        return self._table("figures")

    def comparison(self) -> pd.DataFrame:
        """Give the main scores of every predictor, averaged over seeds.

        Returns
        -------
        Rows: predictors. Columns: metrics, and splits where there are several.

        Raises
        ------
        ValueError
            When this run has none.
        """
        return self._table("comparison")

    def write_json(self, path: Path) -> None:
        """Write all numbers, the settings and versions.

        Parameters
        ----------
        path
            File to write.
        """
        write_document(self.document, path)

    def write_figure(self, path: Path) -> None:
        """Draw the figure of this run; nothing where it has none.

        Parameters
        ----------
        path
            Image to write.
        """
        if self.draw is not None:
            self.draw(path)

    def print(self, console: Console) -> None:
        """Print the tables, and what may be claimed.

        Parameters
        ----------
        console
            Where to print.
        """
        for item in self.shown:
            console.print(item, highlight=None if not isinstance(item, str) else False)

    def _table(self, name: str) -> pd.DataFrame:
        if name not in self.tables:
            msg = (
                f"This run has no table {name!r}. Its tables are {list(self.tables)}; all that was "
                "measured is in `scores`."
            )
            raise ValueError(msg)
        return self.tables[name]

    def __getattr__(self, name: str) -> object:
        """Find what was an attribute of one kind of result in 0.1, until 0.3."""
        if not name.startswith("_") and name not in {"tables", "document"}:
            for place in ("tables", "document"):
                if name in getattr(self, place):
                    warn(
                        f"`result.{name}` is `result.{place}[{name!r}]` since 0.2, and will not be found "
                        "here from 0.3 on.",
                        FutureWarning,
                    )
                    return getattr(self, place)[name]
        known = ["scores", "tables", "claims", "document", "figures", "comparison"]
        msg = f"A result has no {name!r}; closest to it are {closest(name, known)}."
        raise AttributeError(msg, name=name, obj=self)
