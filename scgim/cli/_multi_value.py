"""Options that take several values in a row, as in ``--seeds 10 11 12``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from typer.core import TyperCommand


class MultiValueCommand(TyperCommand):
    """A command whose repeatable options also accept their values in one go.

    Typer's own form is ``--seeds 10 --seeds 11``; this adds ``--seeds 10 11``.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - the class varies
        """Parse the arguments after repeating the option's name before each of its values."""
        repeatable = {
            name
            for parameter in self.params
            if getattr(parameter, "multiple", False)
            for name in parameter.opts
        }
        return super().parse_args(ctx, repeat_option_names(args, repeatable))


def repeat_option_names(arguments: Sequence[str], repeatable: Collection[str]) -> list[str]:
    """Write the name of a repeatable option before each of its values.

    Parameters
    ----------
    arguments
        Arguments as typed.
    repeatable
        Names of the options that take several values.

    Returns
    -------
    Arguments in which each such option has one value.

    Examples
    --------
    >>> repeat_option_names(["--seeds", "1", "2", "--json", "out"], {"--seeds"})
    ['--seeds', '1', '--seeds', '2', '--json', 'out']
    """
    repeated: list[str] = []
    option: str | None = None
    for argument in arguments:
        if argument.startswith("--"):
            option = argument if argument in repeatable else None
            repeated.append(argument)
        elif option is None or repeated[-1] == option:
            repeated.append(argument)
        else:
            repeated += [option, argument]
    return repeated
