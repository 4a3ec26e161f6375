"""A fitted causal model of named nodes as plain dictionaries, arrays and numbers, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from scgim.scm import (
    InterventionKind,
    Kernel,
    LinearNodeMechanism,
    MLPMechanism,
    NamedNodeModel,
    PotencyModel,
    Structure,
    TargetPredictor,
)

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
    state = dict(state)
    mechanism = MECHANISMS[state.pop("mechanism_kind")]
    predictor = state["predictor"]
    return NamedNodeModel(
        **state
        | {
            "structure": Structure(**_with_kinds(state["structure"])),
            "mechanism": mechanism(**state["mechanism"]),
            "potency": PotencyModel(**_with_kernel(state["potency"])),
            "predictor": None if predictor is None else TargetPredictor(**_with_kernel(predictor)),
        }
    )


def _with_kinds(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"kinds": tuple(InterventionKind(**kind) for kind in state["kinds"])}


def _with_kernel(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"kernel": Kernel(**state["kernel"])}
