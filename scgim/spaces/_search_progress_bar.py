from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from scgim.scm import SearchProgress


class SearchProgressBar:
    """Progress bar of a structure search, one step per climb, on the error stream.

    Parameters
    ----------
    is_shown
        Whether to show it.
    """

    def __init__(self, *, is_shown: bool) -> None:
        self._bar = Progress(
            *Progress.get_default_columns(),
            "{task.fields[score]}",
            console=Console(stderr=True),
            disable=not is_shown,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        self._task = self._bar.add_task("Searching the graph", total=None, score="")
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def report(self, progress: SearchProgress) -> None:
        """Show where the search stands.

        Parameters
        ----------
        progress
            What :func:`~scgim.scm.search_structure` tells.
        """
        self._bar.update(
            self._task,
            total=progress.n_restarts,
            completed=progress.restart,
            score=f"best score {progress.best_score:.1f}",
        )
