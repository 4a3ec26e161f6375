"""What is shown while a model learns what needs no epochs."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from scgim.train._training_progress_bar import make_progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from scgim.spaces._fit import ReadCells

logger = logging.getLogger(__name__)


@contextmanager
def show_step(description: str, *, is_shown: bool) -> Iterator[None]:
    """Show that a step is going on, and for how long.

    Parameters
    ----------
    description
        What is done.
    is_shown
        Whether to show it.
    """
    with make_progress(is_shown=is_shown) as bar:
        task = bar.add_task(description, total=1, note="")
        yield
        bar.update(task, completed=1)


@contextmanager
def show_cells(
    read_cells: ReadCells, n_cells: int, description: str, *, is_shown: bool
) -> Iterator[ReadCells]:
    """Count cells while they are read, and show what goes on after the last of them.

    Parameters
    ----------
    read_cells
        Gives minibatches.
    n_cells
        How many cells there are.
    description
        What is done once they are read.
    is_shown
        Whether to show it.

    Yields
    ------
    The same, counted.
    """
    with make_progress(is_shown=is_shown) as bar:
        reading = bar.add_task("Going over the cells", total=n_cells, note="")
        step = bar.add_task(description, total=1, note="", visible=False)

        def read(batch_size: int, n_asked: int | None) -> Iterable[dict[str, Tensor]]:
            for tensors in read_cells(batch_size, n_asked):
                yield tensors
                bar.advance(reading, len(next(iter(tensors.values()))))
            bar.update(step, visible=True)

        yield read
        bar.update(step, completed=1)


def tell(sentence: str, *, is_shown: bool) -> None:
    """Log a sentence on what was done, and show it where progress is shown.

    Parameters
    ----------
    sentence
        What was done.
    is_shown
        Whether to show it.
    """
    logger.info(sentence)
    if is_shown:
        Console(stderr=True).print(sentence, highlight=False, soft_wrap=True)
