"""Checks on user input: the only home of their wording."""

from scgim._validation._messages import check_choice, closest, quote_some, warn
from scgim._validation._prediction import (
    check_conditions,
    check_genes,
    check_is_trained,
    check_new_features,
    check_seen_labels,
    check_shifts,
)
from scgim._validation._screen import (
    check_expression,
    check_layer,
    check_model_options,
    check_screen,
)

__all__ = [
    "check_choice",
    "check_conditions",
    "check_expression",
    "check_genes",
    "check_is_trained",
    "check_layer",
    "check_model_options",
    "check_new_features",
    "check_screen",
    "check_seen_labels",
    "check_shifts",
    "closest",
    "quote_some",
    "warn",
]
