"""How far conditions are from what training covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim.data._feature_checks import check_new_features
from scgim.data._perturbation_table import read_bits
from scgim.scm.generator._perturbation_features import FeatureScaling, tanimoto

if TYPE_CHECKING:
    from scgim.data._perturbation_table import PerturbationTable
    from scgim.data._screen import Screen
    from scgim.spaces._conditions import Conditions

FAR = 1.0


def feature_similarity(
    screen: Screen, names: list[str], features: pd.DataFrame | None
) -> pd.DataFrame:
    """Find the seen perturbation whose features are most like those of each perturbation.

    Columns of 0 and 1 are compared by Tanimoto similarity, averaged over their blocks, bits that no
    seen perturbation has included: they are what is new. Without such
    columns standardised features by :math:`e^{-d^2 / 2p}`, with :math:`p` columns.

    Parameters
    ----------
    screen
        What the registry knows of the screen.
    names
        Perturbations, seen or not.
    features
        Features of perturbations that are not in the registered table.

    Returns
    -------
    One row per different name: ``nearest`` and ``similarity``, 1 for a seen perturbation, NaN without
    features.
    """
    different = sorted(set(names))
    result = pd.DataFrame({"nearest": different, "similarity": 1.0}, index=different)
    unseen = [name for name in different if not screen.is_seen(name)]
    seen = screen.seen_features
    if not unseen:
        return result
    if seen is None:
        result.loc[unseen, ["nearest", "similarity"]] = ["", np.nan]
        return result
    new = check_new_features(features, screen.table.features, unseen)
    scaling = FeatureScaling.fit(seen, screen.feature_blocks)
    similarity = _similarities(scaling, new, seen, _constant_bits(screen, features, unseen))
    result.loc[unseen, "nearest"] = np.array(screen.table.perturbations)[similarity.argmax(1)]
    result.loc[unseen, "similarity"] = similarity.max(1)
    return result


def add_applicability(
    obs: pd.DataFrame, similarity: pd.DataFrame, parts: list[tuple[str, ...]]
) -> None:
    """Write the similarity of conditions to what was seen into their table.

    Updates ``obs["feature_similarity"]`` (that of the least similar part) and
    ``obs["nearest_perturbation"]``.

    Parameters
    ----------
    obs
        One row per condition.
    similarity
        Table of :func:`feature_similarity`.
    parts
        Perturbations of each condition; none for the control.
    """
    value, nearest = similarity["similarity"], similarity["nearest"]
    obs["feature_similarity"] = [
        float(value.loc[list(names)].min(skipna=False)) if names else 1.0 for names in parts
    ]
    obs["nearest_perturbation"] = ["+".join(nearest.loc[list(names)]) for names in parts]


def is_new_in_context(
    conditions: Conditions, table: PerturbationTable, run: list[np.ndarray]
) -> np.ndarray:
    """Tell where a perturbation was run, alone or in combination, but never in the context asked for.

    Parameters
    ----------
    conditions
        The conditions.
    table
        Perturbations and combinations of the screen.
    run
        Codes of the labels that were run in the context of each condition.

    Returns
    -------
    Shape ``(n_conditions,)``; false for perturbations that were never run at all.
    """
    number = {name: code for code, name in enumerate(table.perturbations)}
    is_new = np.zeros(len(run), bool)
    for condition, name in zip(conditions.condition, conditions.names, strict=True):
        if name in number and not (table.components[run[condition]] == number[name]).any():
            is_new[condition] = True
    return is_new


def why_abstain(obs: pd.DataFrame) -> pd.Series:
    """Say of each condition why a prediction would be an extrapolation.

    A perturbation in a context that it was never run in is none: interventions are shared between
    contexts, and whether they should be is what ``is_new_in_context`` lets the user decide.

    Parameters
    ----------
    obs
        Conditions as :func:`~scgim.model._conditions.prepare_conditions` describes them.

    Returns
    -------
    A reason per condition, empty where training covers it.
    """
    reasons = {
        "features far from all seen perturbations": obs["feature_distance"] > FAR,
        "dose outside the doses that were run": obs["is_dose_extrapolated"],
        "no control cells of this context in training": obs["is_new_context"],
    }
    texts = [
        ", ".join(reason for reason, applies in reasons.items() if applies.iloc[row])
        for row in range(len(obs))
    ]
    return pd.Series(texts, index=obs.index, name="reason", dtype=str)


@dataclass(frozen=True)
class _ConstantBits:
    """Bits that all seen perturbations share, or none of them has.

    Attributes
    ----------
    block
        Block of each bit, numbered as :attr:`~scgim.data.Screen.feature_blocks` does.
    new
        Bits of the new perturbations, shape ``(n_new, n_bits)``.
    seen
        Bits of the seen ones, shape ``(n_seen, n_bits)``.
    """

    block: np.ndarray
    new: np.ndarray
    seen: np.ndarray


def _constant_bits(
    screen: Screen, features: pd.DataFrame | None, unseen: list[str]
) -> _ConstantBits | None:
    bits = screen.table.constant_bits
    if bits is None:
        return None
    table = bits
    if features is not None:
        new = features.set_axis(features.index.map(str)).set_axis(features.columns.map(str), axis=1)
        table = pd.concat([bits.loc[~bits.index.isin(new.index)], read_bits(new, bits)])
    return _ConstantBits(
        screen.blocks_of(list(bits.columns)),
        table.loc[unseen].to_numpy(np.float64),
        bits.loc[list(screen.table.perturbations)].to_numpy(np.float64),
    )


def _similarities(
    scaling: FeatureScaling, new: np.ndarray, seen: np.ndarray, constant: _ConstantBits | None
) -> np.ndarray:
    """Similarity of new to seen perturbations, shape ``(n_new, n_seen)``."""
    blocks = list(zip(scaling.blocks(new), scaling.blocks(seen), strict=True))
    if blocks:
        if constant is not None:
            blocks = [
                _with_constants(left, right, constant, number)
                for (left, right), number in zip(blocks, scaling.block_numbers, strict=True)
            ]
        return np.mean([tanimoto(left, right) for left, right in blocks], axis=0)
    left, right = scaling.standardise(new), scaling.standardise(seen)
    squared = ((left[:, None] - right[None]) ** 2).sum(-1)
    return np.exp(-0.5 * squared / max(1, left.shape[1]))


def _with_constants(
    new: np.ndarray, seen: np.ndarray, constant: _ConstantBits, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bits of one block, those that no training can learn from among them."""
    chosen = constant.block == number
    return np.hstack([new, constant.new[:, chosen]]), np.hstack([seen, constant.seen[:, chosen]])
