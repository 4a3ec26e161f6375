from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")


def keep_random_state(method: Callable[P, R]) -> Callable[P, R]:
    """Leave the user's torch random state as it was, though data loaders draw from it.

    Parameters
    ----------
    method
        Method that predicts or annotates.

    Returns
    -------
    The same method.
    """

    @wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.random.fork_rng():
            return method(*args, **kwargs)

    return wrapped


@contextmanager
def one_thread() -> Iterator[None]:
    """Run on one thread: many small matrices cost more to share than to compute."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
