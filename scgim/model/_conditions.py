from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from scgim.data._combinations import find_pairs
from scgim.data._doses import is_outside
from scgim.data._feature_checks import warn_pairs
from scgim.model._applicability import add_applicability, feature_similarity
from scgim.model._checks import check_conditions
from scgim.spaces._conditions import Conditions

if TYPE_CHECKING:
    from scgim.data import PerturbationTable
    from scgim.model._parts import ModelParts

ConditionsLike: TypeAlias = pd.DataFrame | Iterable[tuple[str, float]] | Iterable[str]


def prepare_conditions(
    model: ModelParts,
    conditions: ConditionsLike,
    features: pd.DataFrame | None,
    ignore: Sequence[str] | str = (),
) -> Conditions:
    """Check conditions and look up, or generate, their interventions.

    Parameters
    ----------
    model
        Trained model.
    conditions
        What the user asks for.
    features
        Features of perturbations that are not in the registered table.
    ignore
        Columns of the conditions that the model does not use and that the user accepts.

    Returns
    -------
    The conditions.
    """
    screen = model.screen
    features = without_pairs(features, screen.table)
    known = _known_perturbations(model, features)
    obs = check_conditions(
        conditions, screen, sorted(known), model.fitted.require_generator, ignore
    )
    labels = obs[screen.perturbation_key]
    parts = [screen.table.parts_of(label, known) for label in labels]
    condition = np.repeat(np.arange(len(obs)), [len(combination) for combination in parts])
    names = [name for combination in parts for name in combination]
    dose = obs[screen.dose_key].to_numpy(np.float64) if screen.dose_key else None
    distribution = model.fitted.interventions_of(names, features)
    obs["is_seen"] = [all(map(screen.is_seen, combination)) for combination in parts]
    obs["is_dose_extrapolated"] = _is_extrapolated(model, names, condition, dose, len(obs))
    distance = np.zeros(len(obs))
    np.maximum.at(distance, condition, distribution.distance)
    obs["feature_distance"] = distance
    add_applicability(obs, feature_similarity(screen, names, features), parts)
    with np.errstate(divide="ignore"):
        log10_dose = np.full(len(names), np.inf) if dose is None else np.log10(dose)[condition]
    return Conditions(
        obs=obs,
        condition=condition,
        names=names,
        log10_dose=log10_dose,
        distribution=distribution,
    )


def without_pairs(features: pd.DataFrame | None, table: PerturbationTable) -> pd.DataFrame | None:
    """Leave out rows of features that are combinations of others, with a warning.

    Parameters
    ----------
    features
        Features that the user passed, or ``None``.
    table
        Perturbations of the screen.

    Returns
    -------
    The features of single perturbations, or ``None``.
    """
    if features is None:
        return None
    names = list(map(str, features.index))
    single = {table.control, *table.perturbations}
    single |= set() if table.features is None else set(table.features.index)
    single |= {name for name in names if not find_pairs([name], single | set(names) - {name})}
    pairs = find_pairs(names, single)
    warn_pairs(pairs, "`features`")
    return features[[name not in pairs for name in names]] if pairs else features


def _known_perturbations(model: ModelParts, features: pd.DataFrame | None) -> set[str]:
    table = model.screen.table
    known = set(table.perturbations) | {table.control}
    if table.features is not None:
        known |= set(table.features.index)
    return known if features is None else known | set(map(str, features.index))


def _is_extrapolated(
    model: ModelParts,
    names: list[str],
    condition: np.ndarray,
    dose: np.ndarray | None,
    n_conditions: int,
) -> np.ndarray:
    """Whether a dose lies outside what was run of a perturbation in the condition."""
    is_extrapolated = np.zeros(n_conditions, bool)
    if dose is None or not names:
        return is_extrapolated
    ranges = {name: model.screen.dose_range(name) for name in set(names)}
    low, high = np.array([ranges[name] for name in names]).T
    of_entry = dose[condition]
    np.logical_or.at(is_extrapolated, condition, (of_entry > 0) & is_outside(of_entry, low, high))
    return is_extrapolated
