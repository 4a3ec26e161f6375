"""Tables as CSV files that appear at once and that a spreadsheet does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgim._files import new_file

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

# With these a spreadsheet takes a cell for a formula, see "CSV Injection" of OWASP.
FORMULA_STARTS = ("=", "+", "-", "@", "\t")
# With this it takes the rest of a cell for text.
TEXT_MARK = "'"


def write_csv(table: pd.DataFrame, path: Path, *, index: bool = True) -> None:
    """Write a table, its text marked as text where it looks like a formula.

    Parameters
    ----------
    table
        Any table; numbers are written as they are.
    path
        File to write.
    index
        Whether to write the labels of the rows.
    """
    marked = table.map(mark_text).rename(index=mark_text, columns=mark_text)
    marked.index.names = [mark_text(name) for name in marked.index.names]
    with new_file(path) as written:
        marked.to_csv(written, index=index)


def mark_text(value: object) -> object:
    """Mark text that a spreadsheet would run.

    Parameters
    ----------
    value
        Cell of a table.

    Returns
    -------
    The same, or with an apostrophe before it; :func:`unmark_text` takes it away.
    """
    if isinstance(value, str):
        value = value.replace("\r", " ")  # which would start another row, and is not quoted
    return f"{TEXT_MARK}{value}" if _looks_like_formula(value) else value


def unmark_text(value: object) -> object:
    """Undo :func:`mark_text`.

    Parameters
    ----------
    value
        Cell of a table that was read.

    Returns
    -------
    The cell as it was before it was written.
    """
    is_marked = isinstance(value, str) and value.startswith(TEXT_MARK)
    return value[1:] if is_marked and _looks_like_formula(value[1:]) else value  # type: ignore[index]


def _looks_like_formula(value: object) -> bool:
    return isinstance(value, str) and value.startswith(FORMULA_STARTS)
