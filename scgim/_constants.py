"""Keys of the registry, of module outputs and of what ``annotate`` writes."""

from __future__ import annotations

from typing import NamedTuple


class _RegistryKeys(NamedTuple):
    PERTURBATION: str = "perturbation"
    DOSE: str = "dose"


class _ModuleKeys(NamedTuple):
    EXPRESSION: str = "expression"
    EXOGENOUS_MEAN: str = "exogenous_mean"


REGISTRY_KEYS = _RegistryKeys()
MODULE_KEYS = _ModuleKeys()
COMBINATION_SEPARATOR = "+"
