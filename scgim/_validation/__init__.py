"""Checks on user input: the only home of their wording."""

from scgim._validation._files import (
    check_can_save,
    check_files_present,
    check_format_version,
    check_has_model,
    check_model_class,
    check_no_pickle,
    check_saved_cells,
    describe_damage,
    describe_unsupported,
)
from scgim._validation._messages import check_choice, closest, quote_some, warn
from scgim._validation._prediction import (
    check_conditions,
    check_genes,
    check_is_trained,
    check_new_features,
    check_seen_labels,
    check_shifts,
    warn_if_features_say_nothing,
)
from scgim._validation._query import (
    check_query_columns,
    check_query_covariates,
    check_query_features,
    check_query_labels,
    check_reference,
)
from scgim._validation._screen import (
    check_expression,
    check_layer,
    check_model_options,
    check_screen,
)

__all__ = [
    "check_can_save",
    "check_choice",
    "check_conditions",
    "check_expression",
    "check_files_present",
    "check_format_version",
    "check_genes",
    "check_has_model",
    "check_is_trained",
    "check_layer",
    "check_model_class",
    "check_model_options",
    "check_new_features",
    "check_no_pickle",
    "check_query_columns",
    "check_query_covariates",
    "check_query_features",
    "check_query_labels",
    "check_reference",
    "check_saved_cells",
    "check_screen",
    "check_seen_labels",
    "check_shifts",
    "closest",
    "describe_damage",
    "describe_unsupported",
    "quote_some",
    "warn",
    "warn_if_features_say_nothing",
]
