"""A fitted causal model of named nodes as plain dictionaries, arrays and numbers, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from scgim.scm import (
    EfficacyModel,
    InterventionKind,
    Kernel,
    LinearNodeMechanism,
    MLPMechanism,
    NamedNodeModel,
    SparseInterventions,
    Structure,
    TargetPredictor,
)

# What files of scgim 0.1.0 call what later ones call otherwise.
OLD_NAMES = {
    "potency": "efficacy",
    "rows": "interventions",
    "potency_covariance": "dose_response_covariance",
}

MECHANISMS = {kind.__name__: kind for kind in (LinearNodeMechanism, MLPMechanism)}


def pack(model: NamedNodeModel) -> dict[str, Any]:
    """Hold a model as plain values, to be saved.

    Parameters
    ----------
    model
        Fitted model.

    Returns
    -------
    Nested dictionaries of arrays and numbers.
    """
    return asdict(model) | {"mechanism_kind": type(model.mechanism).__name__}


def unpack(state: dict[str, Any]) -> NamedNodeModel:
    """Rebuild the model that :func:`pack` held.

    Parameters
    ----------
    state
        What it returned.

    Returns
    -------
    The model.
    """
    state = _with_new_names(state)
    mechanism = MECHANISMS[state.pop("mechanism_kind")]
    predictor = state["predictor"]
    return NamedNodeModel(
        **state
        | {
            "structure": Structure(**_with_kinds(state["structure"])),
            "mechanism": mechanism(**state["mechanism"]),
            "efficacy": EfficacyModel(**_with_kernel(state["efficacy"])),
            "predictor": None if predictor is None else TargetPredictor(**_with_kernel(predictor)),
        }
    )


def unpack_interventions(state: dict[str, Any]) -> SparseInterventions:
    """Rebuild what is believed of the seen perturbations.

    Parameters
    ----------
    state
        The state of a model of named genes, as this version or 0.1.0 saved it.

    Returns
    -------
    One entry per seen perturbation.
    """
    saved = _with_new_names(_with_new_names(state)["interventions"])
    # 0.1.0 did not save it: named genes have no prototypes of mechanisms to be unlike.
    unknown = {"is_unknown": np.zeros(len(saved["is_seen"]), bool)}
    return SparseInterventions(**unknown | saved)


def _with_new_names(state: dict[str, Any]) -> dict[str, Any]:
    return {OLD_NAMES.get(key, key): value for key, value in state.items()}


def _with_kinds(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"kinds": tuple(InterventionKind(**kind) for kind in state["kinds"])}


def _with_kernel(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"kernel": Kernel(**state["kernel"])}
