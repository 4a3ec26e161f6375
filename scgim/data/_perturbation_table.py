from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim.data._combinations import find_vocabulary, split_combination

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class PerturbationTable:
    """What the labels in ``obs`` stand for, held once and not per cell.

    Attributes
    ----------
    labels
        Perturbation labels in the order of their codes, the control and combinations among them.
    control
        Label of the control.
    perturbations
        Seen single perturbations; their order is that of the rows of the intervention table.
    components
        Rows of ``perturbations`` in each label, shape ``(n_labels, n_components)``; -1 fills up.
    features
        Perturbation features, one row per perturbation, seen or not; ``None`` without features.
    constant_bits
        Columns of 0 and 1 that are the same for all seen perturbations, for the rows of ``features``.
        The model cannot learn from them, but they tell how new a new perturbation is.
    """

    labels: tuple[str, ...]
    control: str
    perturbations: tuple[str, ...]
    components: np.ndarray
    features: pd.DataFrame | None
    constant_bits: pd.DataFrame | None = None

    @classmethod
    def from_labels(
        cls,
        labels: Iterable[str],
        control: str,
        features: pd.DataFrame | None,
        first: Iterable[str] = (),
        constant_bits: pd.DataFrame | None = None,
    ) -> PerturbationTable:
        """Parse labels.

        Parameters
        ----------
        labels
            Labels in the order of their codes.
        control
            Label of the control; in a combination it adds nothing.
        features
            Perturbation features indexed by perturbation, or ``None``.
        first
            Perturbations whose rows a model has learned already, so that those of new ones come
            behind them.
        constant_bits
            Bits that are the same for all seen perturbations, or ``None``.

        Returns
        -------
        The table.
        """
        labels, first = tuple(map(str, labels)), tuple(first)
        known = {*first, *(() if features is None else features.index)}
        vocabulary = find_vocabulary(labels, control, known) | set(first)
        parts = [_parts_of(label, control, vocabulary, first) for label in labels]
        new = {part for combination in parts for part in combination}.difference(first)
        perturbations = (*first, *sorted(new))
        row = {name: index for index, name in enumerate(perturbations)}
        width = max(1, *(len(combination) for combination in parts))
        components = np.full((len(labels), width), -1, dtype=np.int64)
        for code, combination in enumerate(parts):
            components[code, : len(combination)] = [row[part] for part in combination]
        return cls(labels, control, perturbations, components, features, constant_bits)

    @property
    def control_code(self) -> int:
        """Code of the control label."""
        return self.labels.index(self.control)

    def parts_of(self, label: str, known: Iterable[str] = ()) -> tuple[str, ...]:
        """Name the perturbations in a label, seen or not; none for the control.

        Parameters
        ----------
        label
            Perturbation label.
        known
            Further perturbations, such as those with new features.

        Returns
        -------
        Sorted names.
        """
        vocabulary = {self.control, *self.perturbations, *known}
        if self.features is not None:
            vocabulary |= set(self.features.index)
        parts = split_combination(label, vocabulary=vocabulary)
        if parts == (label,):
            # What is not known is named by its part that is not, if the others are.
            apart = split_combination(label, known=vocabulary)
            parts = apart if vocabulary.intersection(apart) else parts
        return tuple(part for part in parts if part != self.control)

    def with_features(self, features: pd.DataFrame | None) -> PerturbationTable:
        """Add the features of perturbations that have none yet.

        Parameters
        ----------
        features
            Features with the columns of this table among theirs, or ``None``.

        Returns
        -------
        The table; rows that it had are kept.
        """
        if self.features is None or features is None:
            return self
        index = features.index.map(str)
        new = features.set_axis(index).set_axis(features.columns.map(str), axis=1)
        new = new.loc[~index.isin(self.features.index)]
        table = pd.concat([self.features, new[list(self.features.columns)].astype(np.float64)])
        bits = self.constant_bits
        if bits is not None:
            bits = pd.concat([bits, read_bits(new, bits)])
        return replace(self, features=table, constant_bits=bits)

    def to_registry(self) -> dict[str, object]:
        """Hold the table as plain lists and arrays, as the scvi-tools registry wants it.

        Returns
        -------
        Entries for the state registry.
        """
        state: dict[str, object] = {
            "control": self.control,
            "perturbations": list(self.perturbations),
        }
        if self.features is None:
            return {**state, "features": None}
        if self.constant_bits is not None:
            state["constant_bits"] = self.constant_bits.to_numpy(np.uint8)
            state["constant_bit_names"] = list(self.constant_bits.columns)
        return {
            **state,
            "features": self.features.to_numpy(np.float64),
            "feature_index": list(self.features.index),
            "feature_names": list(self.features.columns),
        }

    @classmethod
    def from_registry(cls, labels: Iterable[str], state: dict) -> PerturbationTable:
        """Rebuild the table that :meth:`to_registry` held.

        Parameters
        ----------
        labels
            Labels in the order of their codes.
        state
            State registry of the perturbation field.

        Returns
        -------
        The table.
        """
        features = None
        if state["features"] is not None:
            features = pd.DataFrame(
                state["features"],
                index=pd.Index(state["feature_index"], dtype=object),
                columns=list(state["feature_names"]),
            )
        bits = None
        if features is not None and state.get("constant_bits") is not None:
            bits = pd.DataFrame(
                state["constant_bits"],
                index=features.index,
                columns=list(state["constant_bit_names"]),
            )
        return cls.from_labels(labels, state["control"], features, state["perturbations"], bits)


def read_bits(features: pd.DataFrame, bits: pd.DataFrame) -> pd.DataFrame:
    """Read from new features the bits that were constant in training; absent ones are 0.

    Parameters
    ----------
    features
        Features of new perturbations.
    bits
        Constant bits of training.

    Returns
    -------
    One row per new perturbation.
    """
    return features.reindex(columns=bits.columns, fill_value=0).astype(np.uint8)


def _parts_of(
    label: str, control: str, vocabulary: set[str], first: tuple[str, ...]
) -> tuple[str, ...]:
    """Perturbations in a label, read as the model that knows ``first`` has read it."""
    before = (label,) if label in first else split_combination(label)
    is_learned = len(before) > 1 and {*first, control}.issuperset(before)
    if label in first or is_learned:
        parts = before
    else:
        parts = split_combination(label, vocabulary=vocabulary)
    return tuple(part for part in parts if part != control)
