"""The file format of results: one JSON document per run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

from scgim._files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def to_records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Turn a table into rows with ``None`` for what was not measured, which JSON can say.

    Parameters
    ----------
    table
        Any table.

    Returns
    -------
    One dictionary per row.
    """
    return table.astype(object).where(table.notna(), None).to_dict("records")


def write_document(document: Mapping[str, object], path: Path) -> None:
    """Write a result file.

    Parameters
    ----------
    document
        What JSON can say, and tables; numbers that are not finite are refused.
    path
        File to write.
    """
    plain = json.dumps(
        document, indent=1, allow_nan=False, ensure_ascii=False, default=_table_to_records
    )
    write_text(path, plain + "\n")


def _table_to_records(value: object) -> list[dict[str, object]]:
    if isinstance(value, pd.DataFrame):
        return to_records(value)
    msg = f"A result of type {type(value).__name__!r} cannot be written as JSON."
    raise TypeError(msg)
