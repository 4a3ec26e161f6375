"""AnnData fields, the perturbation table and the split over conditions."""

from scgim.data._combinations import split_combination
from scgim.data._condition_splitter import ConditionSplitter
from scgim.data._fields import (
    CovariateField,
    DoseField,
    ExpressionField,
    LabelField,
    PerturbationField,
    SizeFactorField,
    count_conditions,
)
from scgim.data._perturbation_direction import PerturbationDirections
from scgim.data._perturbation_table import PerturbationTable
from scgim.data._screen import Screen
from scgim.data._screen_data_module import ScreenDataModule, StreamedScreen, streamed_keys
from scgim.data._screen_manager import ScreenDataset, ScreenManager
from scgim.data._screen_quality import HiddenGroups, ScreenCheck

__all__ = [
    "ConditionSplitter",
    "CovariateField",
    "DoseField",
    "ExpressionField",
    "HiddenGroups",
    "LabelField",
    "PerturbationDirections",
    "PerturbationField",
    "PerturbationTable",
    "Screen",
    "ScreenCheck",
    "ScreenDataModule",
    "ScreenDataset",
    "ScreenManager",
    "SizeFactorField",
    "StreamedScreen",
    "count_conditions",
    "split_combination",
    "streamed_keys",
]
