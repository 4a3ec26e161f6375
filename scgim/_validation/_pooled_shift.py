"""Checks on models whose predictions are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def check_can_pool(described: Sequence[Mapping[str, object]]) -> None:
    """Raise unless there are models, all of the same screen.

    Parameters
    ----------
    described
        What the models must have in common, name to value.
    """
    if not described:
        message = "`models` is empty. Pass at least one trained model, and better three or more."
        raise ValueError(message)
    for number, other in enumerate(described[1:], start=1):
        differing = [name for name, value in described[0].items() if other[name] != value]
        if differing:
            message = (
                f"`models[{number}]` differs from `models[0]` in its {' and '.join(differing)}, so their "
                "predictions are not of the same thing. Pass trainings of one screen that differ in "
                "their seed only."
            )
            raise ValueError(message)
