"""scgim: generative intervention models for single-cell perturbation screens."""

from importlib.metadata import version

from scgim import benchmark, datasets, metrics, model, pl, pp

__all__ = ["benchmark", "datasets", "metrics", "model", "pl", "pp"]

__version__ = version("scgim")
