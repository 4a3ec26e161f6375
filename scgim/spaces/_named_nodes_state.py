"""A fitted causal model of named nodes as plain dictionaries, arrays and numbers, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from scgim.scm import (
    EfficacyModel,
    InterventionKind,
    Kernel,
    Mechanism,
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

# Weights of mechanisms are those of the module. Files of 0.1 had them twice.
IN_MODULE = ("mechanism", "mechanism_kind")


def pack(model: NamedNodeModel) -> dict[str, Any]:
    """Hold a model as plain values, to be saved beside the mechanisms, which the module has.

    Parameters
    ----------
    model
        Fitted model.

    Returns
    -------
    Nested dictionaries of arrays and numbers.
    """
    state = asdict(model)
    del state["mechanism"]
    return state


def unpack(state: dict[str, Any], mechanism: Mechanism) -> NamedNodeModel:
    """Rebuild the model that :func:`pack` held.

    Parameters
    ----------
    state
        What it returned.
    mechanism
        Fitted mechanisms.

    Returns
    -------
    The model.
    """
    state = {key: value for key, value in _with_new_names(state).items() if key not in IN_MODULE}
    predictor = state["predictor"]
    return NamedNodeModel(
        **state
        | {
            "structure": Structure(**_with_kinds(state["structure"])),
            "mechanism": mechanism,
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
