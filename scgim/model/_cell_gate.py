"""The gate that cells pass before a model reads them: its own, and those it is given."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mudata import MuData

from scgim._messages import closest, quote_some
from scgim.data import ExpressionField
from scgim.data._covariate_checks import check_covariates
from scgim.data._expression_space import check_same_space
from scgim.data._fingerprint import check_unchanged, place_of_expression, take_fingerprint
from scgim.data._screen_checks import check_expression
from scgim.data._screen_quality import look_at_screen
from scgim.module import get_likelihood

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd
    from anndata import AnnData

    from scgim.data import Screen, ScreenCheck, ScreenManager


def remember(manager: ScreenManager) -> None:
    """Take the fingerprint of cells when they are set up.

    Parameters
    ----------
    manager
        Manager of the cells that were just registered.
    """
    manager.fingerprint = take_fingerprint(manager)


def look_at_cells(manager: ScreenManager, cells: AnnData) -> ScreenCheck:
    """Look at a screen when it is set up, and warn of what nobody declared.

    Parameters
    ----------
    manager
        Manager of the cells that were just registered.
    cells
        Columns of the cells and names of their genes.

    Returns
    -------
    What was seen.
    """
    arguments = manager.registry["setup_args"]
    declared = [arguments["batch_key"], *(arguments["categorical_covariate_keys"] or [])]
    declared += arguments["continuous_covariate_keys"] or []
    check = look_at_screen(
        cells,
        manager.get_from_registry("X"),
        perturbation_key=arguments["perturbation_key"],
        control=str(arguments["control"]),
        dose_key=arguments["dose_key"],
        batch_key=arguments["batch_key"],
        declared=[key for key in declared if key is not None],
    )
    check.warn()
    logger.info(str(check))
    return check


def check_own_cells(manager: ScreenManager | None) -> None:
    """Raise where the cells of a model are not those that it was made of; undo a later set-up.

    A later ``setup_anndata`` of the same AnnData writes over the columns that this model reads; they
    are written anew.

    Parameters
    ----------
    manager
        Manager of the cells of the model, or ``None`` without cells.
    """
    if manager is None or manager.fingerprint is None:
        return
    check_unchanged(manager.fingerprint, take_fingerprint(manager))
    manager.validate()


def check_given_cells(
    cells: AnnData | MuData, registry: Mapping[str, Any], screen: Screen, likelihood: str
) -> None:
    """Raise unless given cells have the columns and the kind of expression of training.

    Parameters
    ----------
    cells
        Cells with the genes of training.
    registry
        Registry of the model.
    screen
        Keys and vocabulary of the screen.
    likelihood
        Name of the likelihood.

    Raises
    ------
    ValueError
        When a column is missing or has values that training did not have, or when the expression
        is not what the likelihood is for, or in another space than that of training.
    """
    _check_columns(cells.obs, screen)
    expression = _expression_of(cells, registry["setup_args"])
    place = place_of_expression(registry["setup_args"])
    check_expression(expression, likelihood=likelihood, place=place)
    field = registry["field_registries"]["X"]["state_registry"]
    trained = field.get(ExpressionField.SPACE_KEY)
    if trained is not None:
        is_count = get_likelihood(likelihood).is_count
        check_same_space(expression, trained, is_count=is_count, place=place)


def _check_columns(obs: pd.DataFrame, screen: Screen) -> None:
    keys = [screen.perturbation_key, screen.dose_key, screen.batch_key]
    keys += [*screen.categorical_covariates, *screen.continuous_covariates]
    missing = [key for key in keys if key is not None and key not in obs]
    if missing:
        message = (
            f"`adata.obs` has no column {quote_some(missing)}, with which the model was set up. The "
            f"columns closest to it are {closest(missing[0], obs.columns)}. Add it under the name of "
            "training."
        )
        raise ValueError(message)
    check_covariates(
        obs,
        {
            "batch_key": [] if screen.batch_key is None else [screen.batch_key],
            "categorical_covariate_keys": list(screen.categorical_covariates),
            "continuous_covariate_keys": screen.continuous_covariates,
        },
    )


def _expression_of(cells: AnnData | MuData, arguments: Mapping[str, Any]) -> np.ndarray:
    layer = arguments.get("layer", arguments.get("rna_layer"))
    if isinstance(cells, MuData):
        cells = cells.mod[arguments["modalities"]["rna_layer"]]
    if layer is None:
        return cells.X
    if layer not in cells.layers:
        message = (
            f"`adata` has no layer {layer!r}, from which the model reads expression. Its layers are "
            f"{quote_some(list(cells.layers))}. Add the layer, with expression as in training."
        )
        raise ValueError(message)
    return cells.layers[layer]
