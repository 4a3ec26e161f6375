"""What a user of the shell sees when something is wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

USER_ERROR_CODE = 2


@contextmanager
def plain_messages() -> Iterator[None]:
    """Print the user's mistakes and scgim's warnings as one message each, without a traceback.

    A mistake of the user is a ``ValueError`` or ``RuntimeError`` that scgim itself raised; it ends
    the program with exit code 2. Anything else is a defect and keeps its traceback.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            yield
        except (ValueError, RuntimeError) as error:
            if not is_user_error(error):
                raise
            _print_message("Error", "bold red", str(error))
            raise SystemExit(USER_ERROR_CODE) from error


def is_user_error(error: BaseException) -> bool:
    """Tell whether scgim itself raised an error, rather than a package that it uses.

    Parameters
    ----------
    error
        Error that was caught.

    Returns
    -------
    Whether the innermost frame of its traceback is scgim's.
    """
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0] == "scgim"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    del category, filename, lineno, file, line
    _print_message("Warning", "bold yellow", str(message))


def _print_message(kind: str, style: str, message: str) -> None:
    console = Console(stderr=True)
    console.print(Text.assemble((f"{kind}: ", style), message), soft_wrap=True)
