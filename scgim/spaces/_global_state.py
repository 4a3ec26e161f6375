from __future__ import annotations

import logging
import signal
import threading
import warnings
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

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
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advice, hardware lines and deprecations within packages from the user.

    A level that the user has chosen stays: only the level that Lightning sets when it is imported is
    raised, and put back.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    loud = [logger for logger in loggers if logger.level == logging.INFO]
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_others(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            *rest: Any,  # noqa: ANN401
        ) -> None:
            is_deprecation = issubclass(category, DeprecationWarning | FutureWarning)
            if not (is_deprecation and {"lightning", "torch"} & set(Path(filename).parts)):
                show(message, category, filename, *rest)

        warnings.showwarning = show_others  # type: ignore[assignment]
        for logger in loud:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger in loud:
                logger.setLevel(logging.INFO)


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
