from __future__ import annotations

import signal
import threading
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


@contextmanager
def keep_interrupt_handler() -> Iterator[None]:
    """Put back what Ctrl-C does, which Lightning changes.

    Only the main thread may do so; in others, such as those of a hyper-parameter search,
    Lightning leaves it alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
