"""Tables that users pass to the shell as CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

from scgim.evaluation.report._csv import unmark_text

if TYPE_CHECKING:
    from collections.abc import Sequence

FEATURES_KEY = "perturbation_features"


def read_features(path: Path) -> pd.DataFrame:
    """Read perturbation features: the first column names the perturbation, the others are numbers.

    Parameters
    ----------
    path
        CSV file.

    Returns
    -------
    Table indexed by perturbation.
    """
    table = _read(path)
    table.index = table.index.astype(str)
    text = [column for column in table if not pd.api.types.is_numeric_dtype(table[column])]
    if text or table.empty:
        found = f"columns that are not numbers: {text[:5]}" if text else "no features"
        msg = (
            f"`--features {path}` has {found}. Expected one row per perturbation, its name in the "
            "first column and numbers in the others. Correct the file."
        )
        raise ValueError(msg)
    return table


def place_features(adata: ad.AnnData, features: str | None) -> str | None:
    """Find perturbation features, and read them into ``uns`` if they are in a file.

    Parameters
    ----------
    adata
        Annotated data, which gets an entry of ``uns`` where the features are in a file.
    features
        Entry of ``uns``, or a CSV file; ``None`` without features.

    Returns
    -------
    The entry of ``uns`` that holds the features, if any.
    """
    if features is None or features in adata.uns:
        return features
    if Path(features).is_file():
        adata.uns[FEATURES_KEY] = read_features(Path(features))
        return FEATURES_KEY
    tables = [key for key, value in adata.uns.items() if hasattr(value, "columns")]
    msg = (
        f"`--features {features}` is neither a table in `uns` nor a file. The tables in `uns` are "
        f"{tables[:5]}. Pass one of them, or a CSV file with one row per perturbation."
    )
    raise ValueError(msg)


def read_conditions(
    path: Path, perturbation_key: str, text_keys: Sequence[str] = ()
) -> pd.DataFrame:
    """Read conditions to predict, one per row.

    Parameters
    ----------
    path
        CSV file.
    perturbation_key
        Column that names the perturbation.
    text_keys
        Columns of batch and covariates, read as text: "01" is not 1.

    Returns
    -------
    The table.
    """
    table = _read(path, perturbation_key, text_keys)
    if perturbation_key not in table or table.empty:
        found = f"the columns {list(table.columns)[:8]}" if len(table) else "no rows"
        msg = (
            f"{path} has {found}. Expected one row per condition with a column {perturbation_key!r}, "
            "named as in the training data. Correct the file."
        )
        raise ValueError(msg)
    return table.assign(**{perturbation_key: table[perturbation_key].map(unmark_text)})


def read_groups(path: Path) -> pd.Series:
    """Read groups of perturbations: the first column names the perturbation, the second its group.

    Parameters
    ----------
    path
        CSV file.

    Returns
    -------
    Group of each perturbation, named as the second column.
    """
    table = _read(path, text=None)
    columns, has_empty = list(table.columns), bool(table.isna().to_numpy().any())
    if len(columns) != 1 or table.empty or has_empty:
        found = (
            "empty cells" if has_empty else f"{len(table)} rows and the group columns {columns[:5]}"
        )
        msg = (
            f"`--groups {path}` has {found}. Expected one row per perturbation, its name "
            "in the first column and its group in the second. Correct the file."
        )
        raise ValueError(msg)
    return table.set_axis(table.index.astype(str)).iloc[:, 0]


def _read(path: Path, names: str | None = None, text: Sequence[str] | None = ()) -> pd.DataFrame:
    """Read a CSV file whose column of names is text as it stands: NA, None and null are names.

    Parameters
    ----------
    path
        CSV file.
    names
        Column of names; the first one, which becomes the index, if not given.
    text
        Further columns of text; ``None`` for all.

    Returns
    -------
    The table.
    """
    try:
        header = list(pd.read_csv(path, nrows=0).columns)
        column = header[0] if names is None else names
        chosen = header if text is None else [column, *text]
        table = pd.read_csv(
            path,
            keep_default_na=False,
            na_values={other: [""] for other in header if other != column},
            dtype=dict.fromkeys(chosen, str),
        )
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read as a CSV file: {str(error).strip()}. Save the table as CSV in UTF-8."
        raise ValueError(msg) from error
    if not isinstance(table.index, pd.RangeIndex):
        msg = f"{path} has rows with more values than columns. Quote values with a comma in them."
        raise ValueError(msg)  # noqa: TRY004 - the type tells how the file was read
    if column in table:
        _check_names(table[column], path)
    return table.set_index(column) if names is None else table


def _check_names(names: pd.Series, path: Path) -> None:
    blank = np.flatnonzero([not str(name).strip() for name in names])
    if len(blank):
        msg = (
            f"{path} has no name in row {int(blank[0]) + 2}. Expected the name of a perturbation in each "
            "row. Fill it in, or drop the row."
        )
        raise ValueError(msg)
