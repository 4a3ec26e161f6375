"""scgim: generative intervention models for single-cell perturbation screens."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "benchmark",
    "data",
    "datasets",
    "evaluation",
    "metrics",
    "model",
    "module",
    "pl",
    "pp",
    "scm",
    "spaces",
    "train",
]

__version__ = version("scgim")


def __getattr__(name: str) -> ModuleType:
    """Import a sub-package when it is first used, so that the command line starts at once."""
    if name in __all__:
        return import_module(f"scgim.{name}")
    message = f"module 'scgim' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
