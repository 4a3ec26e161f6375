"""Features of perturbations and doses in one unit."""

from scgim.pp._gene_features import gene_features
from scgim.pp._molecule_features import molecule_features
from scgim.pp._molecules import molecule_scaffolds
from scgim.pp._normalize_dose import normalize_dose
from scgim.pp._perturbation_features import perturbation_features

__all__ = [
    "gene_features",
    "molecule_features",
    "molecule_scaffolds",
    "normalize_dose",
    "perturbation_features",
]
