"""Causal spaces: what the nodes are, how they are fitted, and what the fit says."""

from scgim.spaces._conditions import Conditions
from scgim.spaces._fit import Fit
from scgim.spaces._genes_space import GenesSpace
from scgim.spaces._latent_fit import LatentFit
from scgim.spaces._latent_space import LatentSpace
from scgim.spaces._named_nodes_fit import NamedNodesFit
from scgim.spaces._space import Space
from scgim.spaces._training_statistics import TrainingStatistics

__all__ = [
    "Conditions",
    "Fit",
    "GenesSpace",
    "LatentFit",
    "LatentSpace",
    "NamedNodesFit",
    "Space",
    "TrainingStatistics",
]
