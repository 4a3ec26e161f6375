from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

FRAME_KEY = "$frame"


def to_plain(value: Any) -> Any:  # noqa: ANN401
    """Replace pandas objects, deep inside, by lists, dictionaries and arrays.

    What pandas pickles is read by the same pandas only; plain values are read by all.

    Parameters
    ----------
    value
        Attribute of a model.

    Returns
    -------
    The same in plain Python and NumPy. A DataFrame becomes a dictionary that :func:`from_plain`
    knows; an Index, a Series and an extension array become arrays.
    """
    if isinstance(value, pd.DataFrame):
        columns = [(str(name), _as_array(column)) for name, column in value.items()]
        index_name = None if value.index.name is None else str(value.index.name)
        frame = {"index": _as_array(value.index), "index_name": index_name, "columns": columns}
        return {FRAME_KEY: frame}
    if isinstance(value, pd.Index | pd.Series | pd.api.extensions.ExtensionArray):
        return _as_array(value)
    if isinstance(value, dict):
        return {key: to_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_plain(entry) for entry in value)
    return value


def from_plain(value: Any) -> Any:  # noqa: ANN401
    """Undo :func:`to_plain` for DataFrames; arrays stay arrays.

    Parameters
    ----------
    value
        Output of :func:`to_plain`.

    Returns
    -------
    The attribute of a model.
    """
    if isinstance(value, dict) and set(value) == {FRAME_KEY}:
        frame = value[FRAME_KEY]
        index = pd.Index(frame["index"], name=frame["index_name"])
        return pd.DataFrame(dict(frame["columns"]), index=index)
    if isinstance(value, dict):
        return {key: from_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(from_plain(entry) for entry in value)
    return value


def _as_array(values: Any) -> np.ndarray:  # noqa: ANN401
    array = np.asarray(values)
    return array if array.dtype.kind in "biuf" else array.astype(object)
