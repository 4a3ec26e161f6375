"""AnnData fields, the perturbation table and the split over conditions."""

from scgim.data._condition_splitter import ConditionSplitter
from scgim.data._fields import DoseField, LabelField, PerturbationField, count_conditions
from scgim.data._perturbation_table import PerturbationTable, split_combination
from scgim.data._screen import Screen

__all__ = [
    "ConditionSplitter",
    "DoseField",
    "LabelField",
    "PerturbationField",
    "PerturbationTable",
    "Screen",
    "count_conditions",
    "split_combination",
]
