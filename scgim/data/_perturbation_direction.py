from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from scgim._messages import check_choice, closest, quote_some

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scgim._types import IntArray

Direction = Literal["lowers", "raises", "unknown"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
SIGNS = {"lowers": -1, "raises": 1, "unknown": 0}


@dataclass(frozen=True)
class PerturbationDirections:
    """What perturbations can do to their targets: lower them, raise them, or either.

    Knock-outs, knock-downs and degraders lower the expression of their targets, activation raises
    it. A direction is what the user says of the experiment; it is never guessed from cells.

    Attributes
    ----------
    default
        Direction of perturbations that are not in ``by_name``.
    by_name
        Directions by perturbation.
    """

    default: Direction = "unknown"
    by_name: Mapping[str, Direction] = field(default_factory=dict)

    @classmethod
    def from_argument(
        cls, direction: Direction | Mapping[str, Direction]
    ) -> PerturbationDirections:
        """Read the argument of a set-up, one direction for all or one for each.

        Parameters
        ----------
        direction
            One of :data:`DIRECTIONS`, or a mapping of perturbation to one of them; perturbations that
            it does not name have direction ``"unknown"``.

        Returns
        -------
        The directions.
        """
        if not isinstance(direction, Mapping):
            return cls(direction)
        return cls("unknown", {str(name): word for name, word in direction.items()})

    def of(self, perturbation: str) -> Direction:
        """Direction of a perturbation.

        Parameters
        ----------
        perturbation
            Name of one perturbation, seen or not.

        Returns
        -------
        The direction.
        """
        return self.by_name.get(perturbation, self.default)

    def signs(self, perturbations: Iterable[str]) -> IntArray:
        """Sign of what perturbations can do to their targets.

        Parameters
        ----------
        perturbations
            Names.

        Returns
        -------
        -1 for ``"lowers"``, 1 for ``"raises"`` and 0 for ``"unknown"``, shape
        ``(n_perturbations,)``.
        """
        return np.array([SIGNS[self.of(name)] for name in perturbations], dtype=np.int64)

    def to_registry(self) -> dict[str, object]:
        """Hold the directions as plain values, as the scvi-tools registry wants them.

        Returns
        -------
        Entries for the state registry.
        """
        return {"default_direction": self.default, "directions": dict(self.by_name)}

    @classmethod
    def from_registry(cls, state: Mapping[str, object]) -> PerturbationDirections:
        """Rebuild the directions that :meth:`to_registry` held.

        Parameters
        ----------
        state
            State registry of the perturbation field; before version 0.2 it had no directions, and
            all are unknown.

        Returns
        -------
        The directions.
        """
        return cls(
            state.get("default_direction", "unknown"),  # type: ignore[arg-type]
            dict(state.get("directions", {})),  # type: ignore[call-overload]
        )


def check_directions(direction: object, known: Sequence[str]) -> None:
    """Raise for words that are no direction, and for names that are no perturbation.

    Parameters
    ----------
    direction
        What the user passed as ``perturbation_direction``.
    known
        Perturbations that were run or have features.
    """
    if not isinstance(direction, Mapping):
        check_choice("perturbation_direction", direction, DIRECTIONS)
        return
    wrong = {name: word for name, word in direction.items() if word not in DIRECTIONS}
    if wrong:
        name, word = next(iter(wrong.items()))
        message = (
            f"`perturbation_direction` says {word!r} of {str(name)!r}, but what a perturbation does to "
            f"the expression of its target is one of {list(DIRECTIONS)}. Choose one of them."
        )
        raise ValueError(message)
    unknown = [str(name) for name in direction if str(name) not in known]
    if unknown:
        message = (
            f"`perturbation_direction` names {quote_some(unknown)}, but the screen has no such "
            f"perturbation. The perturbations closest to {unknown[0]!r} are "
            f"{closest(unknown[0], known)}. Name single perturbations; in a combination each keeps its "
            "own direction."
        )
        raise ValueError(message)
