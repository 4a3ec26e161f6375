"""What a user of the shell sees when something is wrong."""

from __future__ import annotations

import dis
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from scgim.cli._shell_words import in_shell_words

USER_ERROR_CODE = 2
PACKAGE = Path(__file__).parents[1]


@contextmanager
def plain_messages() -> Iterator[None]:
    """Print the user's mistakes and scgim's warnings as one message each, without a traceback.

    A warning that comes again in the same words is printed once.

    A mistake of the user is a ``ValueError``, ``RuntimeError`` or ``OSError`` that scgim itself
    raised; it ends the program with exit code 2. Anything else is a defect and keeps its traceback.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _EachWarningOnce()
        try:
            yield
        except (ValueError, RuntimeError, OSError) as error:
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
    Whether it comes from a ``raise`` in scgim. Compiled code leaves no frame of its own, so the
    innermost frame is scgim's also where NumPy fails; the instruction tells the two apart.
    """
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame
    is_raise = frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return is_raise and str(frame.f_globals.get("__name__", "")).split(".")[0] == "scgim"


def concerns_the_user(category: type[Warning], filename: str) -> bool:
    """Tell whether a warning is about what the user did, rather than about packages among them.

    Parameters
    ----------
    category
        Class of the warning.
    filename
        File it points at.

    Returns
    -------
    False for deprecations in other packages, and for Lightning's advice on its own settings.
    """
    if Path(filename).is_relative_to(PACKAGE):
        return True
    is_deprecation = issubclass(
        category, FutureWarning | DeprecationWarning | PendingDeprecationWarning
    )
    return not is_deprecation and "lightning" not in Path(filename).parts


class _EachWarningOnce:
    """Prints warnings about what the user did, the same words once."""

    def __init__(self) -> None:
        self._printed: set[str] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        del lineno, file, line
        if concerns_the_user(category, filename) and str(message) not in self._printed:
            self._printed.add(str(message))
            _print_message("Warning", "bold yellow", str(message))


def _print_message(kind: str, style: str, message: str) -> None:
    console = Console(stderr=True)
    console.print(Text.assemble((f"{kind}: ", style), in_shell_words(message)), soft_wrap=True)
