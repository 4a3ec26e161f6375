"""The grammar of combinations: which labels stand for several perturbations at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scgim._constants import COMBINATION_SEPARATOR
from scgim._messages import quote_some, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# Without a vocabulary a separator joins two names, with spaces on both sides or on none: the "+" of
# "(+)-JQ1", of "CD4+" and of "Na+/K+ inhibitor" does not.
_PLUS = re.escape(COMBINATION_SEPARATOR)
_JOINT = re.compile(rf"(?<=[\w)\]])(?:{_PLUS}|\s+{_PLUS}\s+)(?=[\w(\[])")
_OPENING, _CLOSING = "([{", ")]}"


def split_combination(
    label: str, known: Iterable[str] = (), vocabulary: Collection[str] | None = None
) -> tuple[str, ...]:
    """Name the perturbations in a label.

    Names are joined by ``+``, with or without spaces around it, in any order. A ``+`` inside
    brackets never joins. With a vocabulary a label is a combination where all its parts are in it,
    and one perturbation otherwise; without, every ``+`` between two words joins. A perturbation that
    is named twice, such as two guides against one gene, counts once.

    Parameters
    ----------
    label
        A perturbation, or several joined by ``+`` in any order.
    known
        Names that are one perturbation even though they contain a ``+``.
    vocabulary
        All perturbations there are, or ``None`` where that is not known.

    Returns
    -------
    The perturbations, sorted, so that ``"A+B"`` and ``"B+A"`` are the same.

    Examples
    --------
    >>> split_combination("B+A")
    ('A', 'B')
    >>> split_combination("(+)-JQ1")
    ('(+)-JQ1',)
    >>> split_combination("2i (LIF+MEKi)")
    ('2i (LIF+MEKi)',)
    >>> split_combination("CD8+T cell engager", vocabulary=["CD8+T cell engager", "A"])
    ('CD8+T cell engager',)
    """
    if label in known:
        return (label,)
    if vocabulary is None:
        return tuple(sorted(set(_split_at(label, _joints(label)))))
    parts = _segment(label, vocabulary)
    return (label,) if parts is None else tuple(sorted(set(parts)))


def find_vocabulary(labels: Iterable[str], control: str, known: Iterable[str]) -> set[str]:
    """Collect the single perturbations of a screen.

    These are the control, the labels without a ``+`` outside brackets, what has features, what stands
    beside the control in a label such as ``"A+control"``, and every label that cannot be read as a
    combination of these.

    Parameters
    ----------
    labels
        Labels of the screen.
    control
        Label of the control.
    known
        Perturbations with features, or that a model knows already.

    Returns
    -------
    Names of single perturbations.
    """
    labels = sorted(labels, key=lambda label: (label.count(COMBINATION_SEPARATOR), label))
    vocabulary = {control} | {label for label in labels if not _pluses(label)}
    for label in labels:
        parts = set(_split_at(label, _joints(label))) - {control}
        if control in _split_at(label, _joints(label)) and len(parts) == 1:
            vocabulary |= parts
    # A row of features for "A+B" does not make it a name of its own where A and B are known.
    for name in sorted(known, key=lambda name: (name.count(COMBINATION_SEPARATOR), name)):
        if _segment(name, vocabulary) is None:
            vocabulary.add(name)
    for label in labels:
        if _segment(label, vocabulary) is None:
            vocabulary.add(label)
    return vocabulary


def warn_read_labels(labels: Iterable[str], control: str, vocabulary: Collection[str]) -> None:
    """Warn of labels that somebody else might read in another way.

    Parameters
    ----------
    labels
        Labels of the screen.
    control
        Label of the control.
    vocabulary
        Single perturbations.
    """
    labels = [label for label in labels if label != control]
    repeated = [
        label
        for label in labels
        if (parts := _segment(label, vocabulary)) is not None and len(set(parts)) < len(parts)
    ]
    if repeated:
        warn(
            f"{quote_some(repeated)} name a perturbation twice. It counts once, as two guides against "
            "one gene do. If twice the dose is meant, give the perturbation at that dose."
        )
    whole = [
        label
        for label in labels
        if label in vocabulary
        and len(_joints(label)) > 0
        and not {*_split_at(label, _joints(label))}.isdisjoint(vocabulary)
    ]
    if whole:
        warn(
            f"{quote_some(whole)} have a '{COMBINATION_SEPARATOR}' but are read as one perturbation "
            "each: not all of their parts were run alone or have features. If they are combinations, "
            "add the features of their parts; if not, ignore this."
        )


def find_pairs(names: Iterable[str], vocabulary: Collection[str]) -> list[str]:
    """Find names that are combinations of others.

    Parameters
    ----------
    names
        Names, such as the rows of a feature table.
    vocabulary
        Single perturbations.

    Returns
    -------
    Those that are combinations.
    """
    return [
        name for name in names if name not in vocabulary and _segment(name, vocabulary) is not None
    ]


def _pluses(label: str) -> list[int]:
    """Positions of separators outside brackets."""
    depth, found = 0, []
    for position, character in enumerate(label):
        if character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth = max(0, depth - 1)
        elif character == COMBINATION_SEPARATOR and depth == 0:
            found.append(position)
    return found


def _joints(label: str) -> list[tuple[int, int]]:
    """Spans of the separators that join two words, spaces included."""
    outside = set(_pluses(label))
    spans = [joint.span() for joint in _JOINT.finditer(label)]
    return [span for span in spans if label.index(COMBINATION_SEPARATOR, span[0]) in outside]


def _split_at(label: str, spans: list[tuple[int, int]]) -> list[str]:
    starts = [0, *(stop for _, stop in spans)]
    stops = [*(start for start, _ in spans), len(label)]
    return [label[start:stop] for start, stop in zip(starts, stops, strict=True)]


def _segment(label: str, vocabulary: Collection[str]) -> list[str] | None:
    """Cut a label into names of a vocabulary, or give ``None`` where that cannot be done."""
    if label in vocabulary:
        return [label]
    pluses = _pluses(label)
    # From the right: how the rest from each start can be cut, if at all.
    following: dict[int, list[str]] = {}
    for start in [position + 1 for position in reversed(pluses)] + [0]:
        for stop in [*(position for position in pluses if position >= start), len(label)]:
            name = label[start:stop].strip()
            rest = [] if stop == len(label) else following.get(stop + 1)
            if rest is not None and name in vocabulary:
                following[start] = [name, *rest]
                break
    return following.get(0)
