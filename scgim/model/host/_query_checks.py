"""Checks on cells on which a trained model is to be mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgim._messages import closest, quote_some
from scgim.data._feature_checks import check_new_features
from scgim.data._screen_checks import check_doses, check_perturbation_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


def check_reference(reference: object, class_name: str) -> None:
    """Raise unless the reference of a mapping is a trained model.

    Parameters
    ----------
    reference
        What the user passed.
    class_name
        Name of the class of the model.
    """
    if type(reference).__name__ != class_name:
        message = (
            f"`reference_model` is a {type(reference).__name__}, but a {class_name} is mapped on "
            f"new cells from a trained {class_name} or the folder of one. Pass either."
        )
        raise TypeError(message)
    if not getattr(reference, "is_trained_", False):
        message = (
            "`reference_model` is not trained, so there is nothing to map. Call `GIM.train` first."
        )
        raise RuntimeError(message)


def check_query_columns(obs: pd.DataFrame, keys: Sequence[str]) -> None:
    """Raise where new cells lack columns that the model was set up with.

    Parameters
    ----------
    obs
        New cells.
    keys
        Columns that they need.
    """
    missing = [key for key in keys if key not in obs]
    if missing:
        message = (
            f"The new cells have no column {quote_some(missing)}, with which the model was set "
            f"up. The columns closest to it are {closest(missing[0], obs.columns)}. Add it under "
            "the name of training."
        )
        raise ValueError(message)


def check_query_labels(
    obs: pd.DataFrame, *, perturbation_key: str, control: str, dose_key: str | None
) -> None:
    """Raise where labels or doses of new cells cannot be used; control cells may be missing.

    Parameters
    ----------
    obs
        New cells.
    perturbation_key
        Column with perturbations.
    control
        Label of the control.
    dose_key
        Column with doses, or ``None``.
    """
    labels = obs[perturbation_key]
    check_perturbation_labels(labels, perturbation_key)
    if dose_key is not None:
        is_control = (labels.astype(str) == control).to_numpy()
        check_doses(obs[dose_key], is_control, dose_key, labels)


def check_query_covariates(obs: pd.DataFrame, covariates: Mapping[str, tuple[object, ...]]) -> None:
    """Raise where a categorical covariate of new cells has a category that training did not see.

    Parameters
    ----------
    obs
        New cells.
    covariates
        Categories of training, by column.
    """
    for key, known in covariates.items():
        names = [str(value) for value in known]
        new = [value for value in obs[key].astype(str).unique() if value not in names]
        if new:
            message = (
                f"`adata.obs[{key!r}]` of the new cells has {quote_some(new)}, but its categories "
                f"in training were {quote_some(names)}. Mapping learns new batches and new "
                "perturbations only. Map the new cells to known categories, or train anew on all "
                "cells."
            )
            raise ValueError(message)


def check_query_features(
    features: pd.DataFrame | None,
    registered: pd.DataFrame | None,
    new: Sequence[str],
    features_key: str | None,
) -> None:
    """Raise where a new perturbation has no features, though those of training had.

    Parameters
    ----------
    features
        Feature table of the new cells, or ``None``.
    registered
        Feature table of training, or ``None``.
    new
        Perturbations that training did not see.
    features_key
        Entry of ``uns`` with features.
    """
    if registered is None:
        return
    known = set(registered.index)
    if features is not None:
        known |= set(features.index.map(str))
    missing = [name for name in new if name not in known]
    if missing:
        message = (
            f"Perturbation {missing[0]!r} of the new cells has no features, neither in those of "
            f"training nor in `adata.uns[{features_key!r}]` ({len(missing)} of {len(new)} new "
            "perturbations have none). Add its row there, or drop its cells."
        )
        raise ValueError(message)
    check_new_features(features, registered, list(new))
