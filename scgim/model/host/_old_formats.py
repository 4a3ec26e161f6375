"""Models that earlier versions saved, brought to the format of this one."""

from __future__ import annotations

from typing import Any

# What format 1 kept as attributes of the model, and where it is in ``fitted_`` of format 2.
MOVED = {
    "statistics_": "statistics",
    "calibration_": "calibration",
    "reference_statistics_": "reference",
    "gauge_": "gauge",
    "named_nodes_": "named_nodes",
}


def upgrade(attributes: dict[str, Any]) -> dict[str, Any]:
    """Bring the saved attributes of a model to the newest format.

    Format 1 (scgim 0.1) kept what was learned as five attributes; since format 2 it is one value,
    ``fitted_`` (:meth:`scgim.spaces.Fit.to_state`).

    Parameters
    ----------
    attributes
        Attributes as they were saved.

    Returns
    -------
    Attributes of the newest format; those of this format as they are.
    """
    if "statistics_" not in attributes:
        return attributes
    kept = {name: value for name, value in attributes.items() if name not in MOVED}
    fitted = {new: attributes.get(old) for old, new in MOVED.items()}
    return kept | {"fitted_": fitted}
